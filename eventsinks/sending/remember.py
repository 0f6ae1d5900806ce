"""Remember: stores what a type wants to know again of an incident, even if another process has locked the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from eventsinks.destinations.base import Message, SendFailure
from eventsinks.limits.isolation import isolate
from eventsinks.models import Incident
from eventsinks.models.delivery import ClaimedDelivery
from eventsinks.models.incident import IncidentKey
from eventsinks.sending.postpone import PostponedWrites


class MemoryWrites:
    """What one dispatcher has learnt of incidents, including what is not written yet."""

    def __init__(self, aside: PostponedWrites) -> None:
        self._aside = aside
        self._unwritten: dict[IncidentKey, Mapping[str, Any]] = {}

    def remember(self, claimed: ClaimedDelivery, message: Message, memory: Mapping[str, Any]) -> None:
        """Store `memory`. An error is only logged: the message was sent, and another try would send it twice."""
        with isolate(f"what was told of {claimed.id} is not remembered"):
            place = (claimed.destination_id, message.summary.dedup_key)

            def write() -> bool:
                Incident.objects.remember(place, memory)
                self._unwritten.pop(place, None)
                return True

            if not self._aside.write(("incident", place), write):
                self._unwritten[place] = memory

    def remind(self, claimed: Sequence[ClaimedDelivery], messages: Sequence[Message | SendFailure]) -> None:
        """Add to the messages what is remembered of their incidents but not written yet."""
        if not self._unwritten:
            return
        for one, message in zip(claimed, messages, strict=True):
            if isinstance(message, Message):
                with suppress(Exception):  # building the request reports what is wrong with it
                    place = (one.destination_id, message.summary.dedup_key)
                    message.memory = self._unwritten.get(place, message.memory)
