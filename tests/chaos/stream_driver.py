"""A process that streams, and kills itself around a PutObject: `… -m tests.chaos.stream_driver POINT AFTER ID`.

    POINT   `before batch`, `after batch` (all of it is there, nobody has heard of it), `before put`, `after put`
            (one of its objects is there, perhaps not the others), or `nowhere`
    AFTER   the count of the batch or put at which it dies
    ID      the integration

Batches are small, so that each life sends several. The points are outside of the product: S3.send and the writing
of one object are wrapped.
"""

import itertools
import os
import signal
import sys

import django

django.setup()

from django.conf import settings  # noqa: E402

from eventsinks.destinations.base import BatchLimits  # noqa: E402
from eventsinks.destinations.s3 import S3  # noqa: E402
from eventsinks.lib.net.addresses import AddressGuard  # noqa: E402
from eventsinks.lib.net.aws import AwsKeys, make_client  # noqa: E402
from eventsinks.lib.net.http import Outlet  # noqa: E402
from eventsinks.streaming.streamer import stream  # noqa: E402


def die():
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(point, after, destination_id):
    """Stream until there is nothing more, or until death."""
    moment, what = point.split() if " " in point else ("", "")
    numbers = itertools.count(1)

    def deadly(do):
        def done(*arguments):
            last = next(numbers) == int(after)
            if last and moment == "before":
                die()
            outcome = do(*arguments)
            if last and moment == "after":
                die()
            return outcome

        return done

    if what == "batch":
        S3.send = deadly(S3.send)
    elif what == "put":
        S3._write = deadly(S3._write)
    S3.limits = BatchLimits(max_events=5)
    stream(int(destination_id), Outlet(AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS), 5))


if __name__ == "__main__":
    # The start of a process is what costs here, so this one is forked once for every line that asks for a life.
    if sys.argv[1:] != ["lives"]:
        main(*sys.argv[1:])
        sys.exit()
    make_client("s3", "eu-central-1", AwsKeys("k", "s"), "http://127.0.0.1:1", None)  # boto3 reads a lot at first
    for line in sys.stdin:
        child = os.fork()
        if not child:
            main(*line.rstrip("\n").split("\t"))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
