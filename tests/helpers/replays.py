"""Replays of one destination, as most tests want them."""

from eventsinks.actions.replaying import replay_job
from eventsinks.actions.replaying.replay_job import Selection
from eventsinks.intake.audit import SYSTEM


def start(destination, since, until=None, states=("failed",), initiator=SYSTEM, rate_per_s=None, **more):
    """Start a replay of one destination."""
    (made,) = replay_job.start_replays(
        [destination], Selection(since, until, states, **more), rate_per_s, initiator
    )
    return made


def preview(destination, since, until=None, states=("failed",), **more):
    """Return how many deliveries it would take, and whether there may be more."""
    found = replay_job.preview_replay(destination, Selection(since, until, states, **more))
    return found.deliveries, found.capped
