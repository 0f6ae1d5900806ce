"""The shapes of events, deliveries and attempts in answers of /v1."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, create_model

from eventsinks.actions.obstacles import Obstacle, describe_obstacle, find_obstacle
from eventsinks.lib.moments import read_end, read_time
from eventsinks.lib.net.addresses import show_peer
from eventsinks.lib.net.wire import Timings
from eventsinks.models import Attempt, Delivery
from eventsinks.models.attempt import Outcome
from eventsinks.models.delivery import DeliveryState


class WaitingOut(BaseModel):
    """What a pending delivery waits for."""

    obstacle: Obstacle = Field(description="what it is, in a word; the first of several that counts")
    until: datetime | None = Field(description="until when, if that is known")
    ahead: int = Field(description="of `queue`: how many of the same event sink are due before it")
    text: str = Field(description="the same in words")


class DeliveryOut(BaseModel):
    """One event that one event sink must get."""

    id: UUID = Field(description="the `webhook-id` that the far end sees, the same over every try")
    event_sink_id: UUID = Field(description="where it goes")
    event_sink_name: str = Field(description="the name of the event sink")
    detection_alert_id: str = Field(description="the id of the event")
    state: DeliveryState = Field(description="what became of it")
    tries: int = Field(description="how often it was tried since it had fresh tries")
    due_at: datetime | None = Field(description="when it is tried next; null where it waits for an earlier one")
    waits_for: UUID | None = Field(description="the earlier delivery that it waits for")
    waiting: WaitingOut | None = Field(description="what is in its way; null where it is not pending")
    status: int | None = Field(description="the status of the last answer, if one came")
    reason: str = Field(description="why it is so")
    created_at: datetime = Field(description="when it was made")
    settled_at: datetime | None = Field(description="when it ended")
    replayed: bool = Field(description="whether it was sent again on purpose")


class TimingsOut(BaseModel):
    """Milliseconds from the start of a try. A step that did not happen has 0."""

    dns: float = Field(description="until the address was known")
    connect: float = Field(description="until the connection stood")
    tls: float = Field(description="until it was encrypted")
    first_byte: float = Field(description="until the answer began")
    total: float = Field(description="until the end")


class AttemptOut(BaseModel):
    """The record of one try of a delivery."""

    id: UUID = Field(description="its id")
    number: int = Field(description="which try it is, from 1")
    started_at: datetime = Field(description="when it began")
    outcome: Outcome = Field(description="what came of it; `unknown`: the far end may have it")
    status: int | None = Field(description="the status of the answer, if one came")
    reason: str = Field(description="why it came so")
    excerpt: str = Field(description="the beginning of the answer")
    peer: str = Field(description="the address that was dialled, if it is the internet's")
    timings_ms: TimingsOut = Field(description="how long each step took")


class NextPage(BaseModel):
    """The token of the next page."""

    next_page_token: str | None = Field(description="the `page_token` of the next page; null on the last one")


def make_page_model(name: str, row: type[BaseModel]) -> type[BaseModel]:
    """Return the model of the answer that `answer_page` makes: a page of rows in its envelope."""
    kind = row.__name__.removesuffix("Out")
    rows: Any = (list[row], Field(description="the rows of this page"))  # type: ignore[valid-type]
    data = create_model(f"{kind}Rows", __doc__="The rows of a page, by what they are.", **{name: rows})
    return create_model(
        f"{kind}Page",
        __doc__="A page of a list.",
        data=(data, Field(description="what is on the page")),
        pagination=(NextPage, Field(description="where the list goes on")),
    )


def make_one_model(name: str, row: type[BaseModel], **more: Any) -> type[BaseModel]:
    """Return the model of one row in its envelope. `more` are the fields beside it."""
    one: Any = (row, Field(description="what was asked for, as it is now"))
    kind = row.__name__.removesuffix("Out")
    return create_model(f"One{kind}", __doc__="One of them in its envelope.", **{name: one}, **more)


def read_moment(given: Any, read: Callable[[str], datetime] = read_time) -> datetime:
    """Return the time of a text, which has an offset or is a day in UTC. Raises ValueError."""
    try:
        if TIME.fullmatch(text := str(given)):
            return read(text)
    except ValueError:
        pass  # it looks like a time, and is none
    raise ValueError("must be an RFC 3339 time with its offset, as 2030-01-31T00:00:00Z, or a day, as 2030-01-31")


def read_end_moment(given: Any) -> datetime:
    """Return the end of a period. For a day, it is the last moment. Raises ValueError."""
    return read_moment(given, read_end)


TIME = re.compile(r"\d{4}-\d\d-\d\d([T ].*(Z|[+-]\d\d(:?\d\d)?))?", re.ASCII | re.IGNORECASE)
Moment = Annotated[datetime, BeforeValidator(read_moment)]
End = Annotated[datetime, BeforeValidator(read_end_moment)]


def show_timings(timings: Timings) -> dict[str, float]:
    """Return timings in milliseconds."""
    return {name: seconds * 1000 for name, seconds in timings._asdict().items()}


def show_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery."""
    return {
        "id": delivery.id,
        "event_sink_id": delivery.destination.uuid,
        "event_sink_name": delivery.destination.name,
        "detection_alert_id": delivery.event.key,
        "state": delivery.state,
        "tries": delivery.tries,
        "due_at": None if delivery.is_behind else delivery.due_at,
        **show_waiting(delivery),
        "status": delivery.status,
        "reason": delivery.reason,
        "created_at": delivery.created_at,
        "settled_at": delivery.settled_at,
        "replayed": delivery.replayed,
    }


def show_waiting(delivery: Delivery) -> dict[str, Any]:
    """Return what a pending delivery waits for: the obstacle, a sentence, and maybe an earlier delivery."""
    wait = find_obstacle(delivery) if delivery.state == DeliveryState.PENDING else None
    if wait is None:
        return {"waits_for": None, "waiting": None}
    text = describe_obstacle(delivery, wait).lstrip(": ")
    told = {"obstacle": wait.obstacle, "until": wait.until, "ahead": wait.ahead, "text": text}
    return {"waits_for": wait.first.id if wait.first else None, "waiting": told}


def show_attempt(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt. Times are milliseconds from its start."""
    return {
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "reason": attempt.reason,
        "excerpt": attempt.excerpt,
        "peer": show_peer(attempt.peer),
        "timings_ms": {
            "dns": attempt.dns_ms,
            "connect": attempt.connect_ms,
            "tls": attempt.tls_ms,
            "first_byte": attempt.first_byte_ms,
            "total": attempt.total_ms,
        },
    }
