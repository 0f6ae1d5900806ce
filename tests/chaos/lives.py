"""Lives that end at a named point: `python -m tests.chaos.lives` forks one for each line of its input.

A line is a list in JSON, with what to do first:

    accept POINT NUMBER PREFIX          accept NUMBER alerts of the only tenant, and say which were accepted
    deliver POINT                       deliver what is due, as a worker does
    stream POINT AFTER ID ENDPOINT      send to one integration, in small batches; ENDPOINT is Amazon's

Each life is answered with `ended STATUS`. The start of a process is what costs; so they are forked. The points
are outside of the product: the exchange is an argument of the dispatcher, and a name is wrapped where the engine
looks it up.
"""

import itertools
import json
import os
import signal
import sys

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import transaction  # noqa: E402

from eventsinks.destinations.base import BatchLimits  # noqa: E402
from eventsinks.destinations.s3 import S3  # noqa: E402
from eventsinks.event_types import event_type  # noqa: E402
from eventsinks.intake import accept as accepting  # noqa: E402
from eventsinks.intake import commit, nudge  # noqa: E402
from eventsinks.lib.net.addresses import AddressGuard  # noqa: E402
from eventsinks.lib.net.aws import AwsKeys, make_client  # noqa: E402
from eventsinks.lib.net.http import Outlet  # noqa: E402
from eventsinks.models import Tenant  # noqa: E402
from eventsinks.sending import dispatcher, settle_attempts  # noqa: E402
from eventsinks.streaming import streamer  # noqa: E402
from eventsinks.sweeping.tidy import tidy_up  # noqa: E402


def die(*_):
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def and_die(function, after=1, before=False):
    """Return `function`, which dies when it is called, or has returned, for the `after`th time."""
    numbers = itertools.count(1)

    def wrapped(*arguments):
        last = next(numbers) == after
        if last and before:
            die()
        result = function(*arguments)
        if last:
            die()
        return result

    return wrapped


def uncommitted(function):
    """Return `function`, which dies when it is done but not yet committed."""

    def wrapped(*arguments):
        with transaction.atomic():
            function(*arguments)
            die()

    return wrapped


class DyingOutlet(Outlet):
    """The way out of a worker that dies when the first answers are in."""

    def poll(self, wait):
        """Return what has ended, unless it is the first."""
        ended = super().poll(wait)
        if ended:
            die()
        return ended


def accept(point, number, prefix):
    """Accept alerts one by one; say on standard output which were committed."""
    if point == "after commit":
        nudge.send_nudge = and_die(lambda *_: None, after=number)
    if point == "before commit":
        commit.nudge = and_die(lambda *_: None, after=number)
    for index in range(number):
        alert = {"id": f"{prefix}-{index}", "name": "n", "severity": "Low"}
        taken = accepting.accept(Tenant.objects.get(), event_type("detection_alert"), [json.dumps(alert).encode()])
        print(*taken.keys, flush=True)


def deliver(point):
    """Deliver what is due, after tidying, as the sweep does."""
    outlet = DyingOutlet if point == "after send" else Outlet
    if point == "after claim":
        dispatcher.claim = and_die(dispatcher.claim)
    if point == "during settle":
        settle_attempts.settle = uncommitted(settle_attempts.settle)
    if point == "after settle":
        settle_attempts.settle = and_die(settle_attempts.settle)
    tidy_up()
    way_out = outlet(AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS), settings.EVENTSINKS_TIMEOUT)
    if point == "while sending":
        way_out.start = and_die(way_out.start, after=20)
    if point == "after start":
        way_out.start = and_die(way_out.start)
    dispatcher.Dispatcher(way_out).run()


def stream(point, after, destination_id, endpoint):
    """Stream until nothing is left, or until death `before` or `after` a `batch` or a `put`."""
    settings.AWS_ENDPOINT_URL = endpoint
    moment, _, what = point.partition(" ")
    if what:
        name = {"batch": "send", "put": "_write"}[what]
        setattr(S3, name, and_die(getattr(S3, name), after, before=moment == "before"))
    S3.limits = BatchLimits(max_events=5)
    streamer.stream(destination_id, Outlet(AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS), 5))


def main():
    """Fork a life for each line."""
    make_client("s3", "eu-central-1", AwsKeys("k", "s"), "http://127.0.0.1:1", None)  # boto3 reads a lot at first
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            {"accept": accept, "deliver": deliver, "stream": stream}[what](*arguments)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
