"""Open sinks: keeps the sinks of claimed deliveries ready to send; each version of a sink is opened once."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, SendFailure
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.lib.validation import list_errors
from eventsinks.models import Destination
from eventsinks.sending.hold import explain_held_or_parked
from eventsinks.sending.postpone import PostponedWrites
from eventsinks.sending.prepare import ReadySink

UNREADABLE = "its configuration can't be read"


class OpenSinks:
    """The sinks that one dispatcher has opened. The keys of `ready` are sink ids."""

    def __init__(self, aside: PostponedWrites) -> None:
        self._aside = aside
        self._unopened: dict[int, SendFailure | None] = {}  # what the last claim could not open, and why
        self.ready: dict[int, ReadySink] = {}

    def open(self, versions: Mapping[int, int]) -> None:
        """Open the sinks whose configuration is new. `versions` maps sink ids to versions."""
        self._unopened = {}
        known = {id: ready.version for id, ready in self.ready.items()}
        stale = [id for id, version in versions.items() if known.get(id) != version]
        if not stale:
            return
        for id in stale:
            self.ready.pop(id, None)
        present = Destination.objects.present().select_related("slack_workspace")
        for destination in present.filter(id__in=stale):  # a deleted sink has no secrets any more
            try:
                kind, template = destination.opened(), destination.template
                self.ready[destination.id] = ReadySink(destination.version, kind, template, destination.rate_key)
            except Exception as error:  # no error of one sink may stop the others
                gone = DestinationGone(describe_unreadable(error))
                why = explain_held_or_parked(destination.id, destination.version, gone, self._aside)
                self._unopened[destination.id] = why

    def why_not(self, id: int) -> SendFailure | None:
        """Return why a sink is not open."""
        return self._unopened.get(id, DestinationGone(UNREADABLE))


def describe_unreadable(error: Exception) -> str:
    """Return why a stored configuration can't be used. Name the fields, but never their values."""
    if isinstance(error, ValidationError):
        reason = "; ".join(f"{field}: {message}" for field, message in list_errors(error))
    else:
        reason = str(error) if isinstance(error, CannotOpen) else type(error).__name__
    return f"its configuration can't be read: {reason}"
