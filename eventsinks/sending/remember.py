"""Remember: keep what a type wants to know again of an incident, also while its row is locked by somebody else."""

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
    """What one dispatcher has learnt of incidents. What is not written yet is known here all the same."""

    def __init__(self, aside: PostponedWrites) -> None:
        self._aside = aside
        self._unwritten: dict[IncidentKey, Mapping[str, Any]] = {}

    def remember(self, claimed: ClaimedDelivery, message: Message, memory: Mapping[str, Any]) -> None:
        """Keep `memory`. What can't be kept was told all the same: to try again would be to tell it twice."""
        with isolate(f"what was told of {claimed.id} is not remembered"):
            place = (claimed.destination_id, message.summary.dedup_key)

            def write() -> bool:
                Incident.objects.remember(place, memory)
                self._unwritten.pop(place, None)
                return True

            if not self._aside.write(("incident", place), write):
                self._unwritten[place] = memory

    def remind(self, claimed: Sequence[ClaimedDelivery], messages: Sequence[Message | SendFailure]) -> None:
        """Give the messages what is remembered of their incidents but not written yet."""
        if not self._unwritten:
            return
        for one, message in zip(claimed, messages, strict=True):
            if isinstance(message, Message):
                with suppress(Exception):  # what is wrong with it is said when it is built
                    place = (one.destination_id, message.summary.dedup_key)
                    message.memory = self._unwritten.get(place, message.memory)
