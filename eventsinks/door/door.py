"""The door before Django: it lets the committer take the events, and passes everything else on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from eventsinks.api.limits import COUNTED
from eventsinks.door.committer import Committer
from eventsinks.door.counts import POSTED, WAITING
from eventsinks.door.heads import Head, KnownHeads, read_head
from eventsinks.door.waiting import MOST_BYTES, Posted, Waiting
from eventsinks.front.answers import Door, Gone, WholeAnswer, WholeRequest


class EventsDoor:
    """Answers POSTs of events itself, at most `bound` at once. `behind` answers all other requests."""

    def __init__(self, behind: Door, bound: int) -> None:
        self._behind = behind
        self._heads = KnownHeads()
        self._waiting = Waiting(bound)
        self._committer: Committer | None = None
        WAITING.set_function(lambda: self._waiting.count)

    async def __call__(self, request: WholeRequest) -> WholeAnswer:
        """Return the answer. Raises Refusal if too many wait, Gone, and what `behind` raises."""
        head = read_head(request.scope)
        if head is None or len(request.body) > MOST_BYTES:  # a large body gains nothing, and others would wait
            return await self._behind(request)
        if head not in self._heads:
            return await self._ask_django(head, request)
        posted = await self._commit(head, request)
        if posted.refusal is not None:
            raise posted.refusal
        if posted.body is None and request.is_gone():
            raise Gone
        if posted.body is None:
            return await self._ask_django(head, replace(request, more={COUNTED: posted.counted}))
        POSTED.labels("door").inc()
        return self._heads.make_answer(head, posted.body, request.request_id, posted.about)

    def close(self) -> None:
        """Commit what waits, and end the committer's thread."""
        self._waiting.close()

    async def _ask_django(self, head: Head, request: WholeRequest) -> WholeAnswer:
        POSTED.labels("django").inc()
        answer = await self._behind(request)
        self._heads.learn(head, answer)
        return answer

    async def _commit(self, head: Head, request: WholeRequest) -> Posted:
        """Wait until the request is committed, or is found to be one for Django. Raises Refusal."""
        loop = asyncio.get_running_loop()
        if self._committer is None:
            self._committer = Committer(self._waiting, loop)
        posted = Posted(head, request, loop.create_future())
        self._waiting.add(posted)
        await posted.answered
        return posted
