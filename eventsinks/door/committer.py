"""Committer: one thread of a web process, which commits all that waits at once, on its own database connection."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, Error, connection, connections
from rest_framework.exceptions import APIException

from eventsinks.api.about import describe_intake
from eventsinks.api.documents import split_body
from eventsinks.api.json import dumps
from eventsinks.api.limits import REQUESTS, TAKEN_IN
from eventsinks.api.media_types import decode_to_utf_8
from eventsinks.door.counts import GROUPS
from eventsinks.door.keys import KnownKey, find_keys
from eventsinks.door.waiting import Posted, Waiting
from eventsinks.front.answers import refuse_internal, refuse_unavailable
from eventsinks.intake.accept import Acceptance, Submission, accept_all
from eventsinks.limits import rates, sending_lag
from eventsinks.models.database import sql, unavailable

log = logging.getLogger(__name__)

CONNECT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Ask:
    """A request whose key and rates allow its events. `many`: it posted a list of them."""

    posted: Posted
    submission: Submission
    many: bool


class Committer:
    """Commits what is in `waiting`, and tells `loop` when it is done."""

    def __init__(self, waiting: Waiting, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting, self._loop = waiting, loop
        self._tenants: set[UUID] = set()  # of the last group
        threading.Thread(target=self._run, name="committer", daemon=True).start()

    def _run(self) -> None:
        use_own_connection()
        while group := self._waiting.take():
            GROUPS.observe(len(group))
            try:
                self._commit(group)
            except Exception:
                log.exception("the door could not take a group of requests; Django answers them")
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self._loop.call_soon_threadsafe(resolve, group, self._loop)
            self._waiting.rest(len(group))
            sending_lag.read_lags(self._tenants)  # for the next group, while nobody waits for us
        connection.close()

    def _commit(self, group: Sequence[Posted]) -> None:
        """Commit what is surely accepted. The rest goes on to Django, which says what is wrong with it."""
        try:
            keys = find_keys({posted.head.key for posted in group})
        except Error as error:
            if not unavailable.find_reason(error):
                raise
            connection.close()
            return
        self._tenants = {key.tenant.id for key in keys.values()}
        asks = [ask for posted in group if (ask := read_ask(posted, keys.get(posted.head.key))) is not None]
        commit_asks(asks, {key.tenant.id: key.version for key in keys.values()})


def read_ask(posted: Posted, key: KnownKey | None) -> Ask | None:
    """Return what a request asks for; None if Django is to answer it."""
    head = posted.head
    if key is None or head.endpoint.scope not in key.scopes or posted.request.is_gone():
        return None
    if sending_lag.is_too_far_behind(key.tenant.id):
        return None
    try:
        body = decode_to_utf_8(posted.request.body, head.content_type)
        documents, many = split_body(body, head.shape)
    except APIException:
        return None
    rate = TAKEN_IN[head.endpoint.event_type.key]
    for name, number in ((REQUESTS, 1), (rate, len(documents))):
        if rates.take_tokens(key.tenant, name, number) is not None:
            return None
        posted.counted |= {name}
    return Ask(posted, Submission(key.tenant, head.endpoint.event_type, documents), many)


def commit_asks(asks: Sequence[Ask], versions: Mapping[UUID, int]) -> None:
    """Commit the events of these requests together. If one of them makes that fail, it is left alone to Django."""
    if not asks:
        return
    try:
        acceptances = accept_all([ask.submission for ask in asks], versions)
    except Exception as error:
        reason = unavailable.find_reason(error)
        if reason == unavailable.UNREACHABLE:
            connection.close()
            for ask in asks:  # they may be committed: sent to Django, they might be accepted twice
                ask.posted.refusal = refuse_unavailable(reason)
        elif not reason and len(asks) > 1:
            half = len(asks) // 2
            commit_asks(asks[:half], versions)
            commit_asks(asks[half:], versions)
        return
    for ask, acceptance in zip(asks, acceptances, strict=True):
        try:
            ask.posted.body = write_body(ask, acceptance)
            ask.posted.about = describe_intake(ask.submission.tenant.id, ask.submission.event_type.key, acceptance)
            ask.posted.pause = sending_lag.find_pause(ask.submission.tenant.id) if acceptance.deliveries else 0.0
        except Exception:  # it is committed: Django must not accept it again
            log.exception("an answer could not be written")
            ask.posted.refusal = refuse_internal()


def write_body(ask: Ask, acceptance: Acceptance) -> bytes | None:
    """Return the body of the answer 200. None: nothing was accepted now, and Django says why."""
    endpoint = ask.posted.head.endpoint
    if ask.many:
        response = endpoint.show_many(acceptance)
        return dumps(response.data) if response.status_code == 200 else None
    return dumps(endpoint.show_one(ask.submission.tenant, acceptance)) if acceptance.events else None


def resolve(group: Sequence[Posted], loop: asyncio.AbstractEventLoop) -> None:
    """Let the requests of a group go on, each after its pause. Runs on the event loop."""
    for posted in group:
        if posted.pause:
            sending_lag.SLOWED.inc()
            loop.call_later(posted.pause, let_go_on, posted)
        else:
            let_go_on(posted)


def let_go_on(posted: Posted) -> None:
    """Let a request go on, if it still waits."""
    if not posted.answered.done():
        posted.answered.set_result(None)


def use_own_connection() -> None:
    """Give this thread a connection that is not of the pool, which would wait long for a restarted database."""
    if not sql.is_postgresql():
        return
    settings = deepcopy(connections[DEFAULT_DB_ALIAS].settings_dict)
    settings["OPTIONS"].pop("pool", None)
    settings["OPTIONS"].setdefault("connect_timeout", CONNECT_SECONDS)
    connections[DEFAULT_DB_ALIAS] = connections[DEFAULT_DB_ALIAS].__class__(settings, DEFAULT_DB_ALIAS)
