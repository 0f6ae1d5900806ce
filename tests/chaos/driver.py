"""A process that does one thing with the engine and kills itself at a named point: `python -m tests.chaos.driver`.

    accept POINT NUMBER PREFIX     accept NUMBER alerts of the only tenant
    deliver POINT                  deliver what is due, as a worker does

The points are outside of the product: the exchange is an argument of the dispatcher, and a name is wrapped where
the engine looks it up.
"""

import json
import os
import signal
import sys

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import transaction  # noqa: E402

from eventsinks.event_types import event_type  # noqa: E402
from eventsinks.intake import accept as accepting  # noqa: E402
from eventsinks.intake import commit, nudge  # noqa: E402
from eventsinks.lib.net.addresses import AddressGuard  # noqa: E402
from eventsinks.lib.net.http import Outlet  # noqa: E402
from eventsinks.models import Tenant  # noqa: E402
from eventsinks.sending import dispatcher, settle_attempts  # noqa: E402
from eventsinks.sweeping.tidy import tidy_up  # noqa: E402


def die(*_):
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def and_die(function, after=1):
    """Return `function`, which dies when it has returned for the `after`th time."""
    left = [after]

    def wrapped(*arguments):
        result = function(*arguments)
        left[0] -= 1
        if left[0] == 0:
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


def run(point):
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
    dispatcher.Dispatcher(way_out).run()


if __name__ == "__main__":
    what, at, *rest = sys.argv[1:]
    accept(at, int(rest[0]), rest[1]) if what == "accept" else run(at)
