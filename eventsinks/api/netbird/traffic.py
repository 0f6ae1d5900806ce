"""GET /api/events/network-traffic: the flows of an account, with NetBird's filters and pages."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, BeforeValidator, Field, field_validator
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.api.authentication import get_tenant
from eventsinks.api.media_types import JSON, NDJSON
from eventsinks.api.netbird.event_shapes import NetworkTrafficIn, NetworkTrafficTaken, TrafficPage
from eventsinks.api.netbird.events import LINES, EventsView, show_event
from eventsinks.api.netbird.view import document_answers, read_query
from eventsinks.api.queries import Text
from eventsinks.event_types.network_traffic import CONNECTION_TYPES, DIRECTIONS, PROTOCOLS, TYPES, FlowShape
from eventsinks.lib.moments import read_end, read_time
from eventsinks.models import Event, NetworkTraffic, Tenant
from eventsinks.models.traffic.network_traffic import find_shapes, find_with_text

# Flows that are counted and have pages. Older ones are found by their dates (docs/decisions/0010).
MOST = 100_000
COUNTED = 5_000  # in a search, or as many as lie before the page after the one that is asked for
LARGEST_PAGE = 50_000
CHUNK = 5_000  # events fetched by one statement
NAMES = {name: number for number, name in PROTOCOLS.items()} | {"icmpv6": 58, "icmp6": 58}
# What the docstrings of NetBird's Python client suggest.
SPOKEN = {"SENT": "EGRESS", "RECEIVED": "INGRESS", "RELAY": "ROUTED", "RELAYED": "ROUTED"}
ALL = ("ALL", "ANY")  # a filter that keeps everything
MEMBER = re.compile(r"^(Protocol|ConnectionType|TrafficDirection)\.")  # how a member of its enums is sent


def read_protocol(given: str) -> int:
    """Return the number of a protocol, from its number or its name. Raises ValueError."""
    number = NAMES.get(given.strip().lower(), given)
    if not re.fullmatch(r"[0-9]{1,3}", str(number)) or int(number) > 255:
        raise ValueError(f"must be a number from 0 to 255, or one of {', '.join(NAMES)}")
    return int(number)


def make_choice_check(*names: str) -> BeforeValidator:
    """Return the check that a text is one of `names`. Upper and lower case are the same."""

    def check(given: str) -> str:
        name = SPOKEN.get(given.upper(), given.upper())
        if name not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return name

    return BeforeValidator(check)


def read_moment(given: str, read: Callable[[str], datetime] = read_time) -> datetime:
    """Return the time of an ISO 8601 text. Without an offset, it is in UTC. Raises ValueError."""
    text = re.sub(r"(\d:\d\d(?:\.\d+)?) (?=\d\d:\d\d$)", r"\1+", given)  # a plus that was not escaped
    try:
        return read(text)
    except ValueError:
        raise ValueError("must be an ISO 8601 time, as 2024-01-01T00:00:00Z") from None


def read_end_moment(given: str) -> datetime:
    """Return the end of a period. For a day, it is the last moment. Raises ValueError."""
    return read_moment(given, read_end)


Moment = Annotated[datetime, BeforeValidator(read_moment)]
End = Annotated[datetime, BeforeValidator(read_end_moment)]
Protocol = Annotated[int, BeforeValidator(read_protocol)]
Type = Annotated[str, make_choice_check(*TYPES)]
ConnectionType = Annotated[str, make_choice_check(*CONNECTION_TYPES)]
Direction = Annotated[str, make_choice_check(*DIRECTIONS)]


class TrafficQuery(BaseModel):
    """Which flows, and the page. A flow must match all filters."""

    page: Annotated[int, Field(ge=1, lt=2**31)] = 1
    page_size: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 1000
    user_id: Text | None = None
    reporter_id: Text | None = None
    source_id: Text | None = None
    destination_id: Text | None = None
    protocol: Protocol | None = None
    type: Type | None = None
    connection_type: ConnectionType | None = None
    direction: Direction | None = None
    search: Text | None = None
    start_date: Moment | None = None
    end_date: End | None = None

    @field_validator("protocol", "type", "connection_type", "direction", mode="before")
    @classmethod
    def read_client_spelling(cls, given: Any) -> Any:
        """Accept spellings of NetBird's client: `all` for no filter, `Protocol.TCP` for a member of an enum."""
        text = MEMBER.sub("", given.strip()) if isinstance(given, str) else given
        return None if isinstance(text, str) and text.upper() in ALL else text


def make_parameter(name: str, description: str, **schema: Any) -> OpenApiParameter:
    """Return a parameter of the query for the schema. An empty value counts as absent."""
    return OpenApiParameter(name, {"anyOf": [schema, {"type": "string", "maxLength": 0}]}, description=description)


FILTERS = [
    make_parameter("page", "counts from 1", type="integer", minimum=1, maximum=2**31 - 1),
    make_parameter("page_size", "1000 unless said otherwise", type="integer", minimum=1, maximum=LARGEST_PAGE),
    *(
        make_parameter(name, "exactly", type="string", maxLength=1000)
        for name in ("user_id", "reporter_id", "source_id", "destination_id")
    ),
    make_parameter("protocol", "IANA's number, or a name as tcp", type="integer", minimum=0, maximum=255),
    make_parameter("type", "one that happened to the flow", type="string", enum=list(TYPES)),
    make_parameter("connection_type", "whether both ends are peers", type="string", enum=list(CONNECTION_TYPES)),
    make_parameter("direction", "the way, as its reporter sees it", type="string", enum=list(DIRECTIONS)),
    make_parameter("search", "a part of the user's email, a name or an address", type="string", maxLength=1000),
    make_parameter("start_date", "from then on", type="string", format="date-time"),
    make_parameter("end_date", "until then; of a day, until its end", type="string", format="date-time"),
]


class NetworkTrafficView(EventsView):
    """Flows of network traffic."""

    type = "network_traffic"
    resource = "network_traffic_event"

    @document_answers(TrafficPage, parameters=FILTERS)
    def get(self, request: Request) -> Response:
        """List flows, newest first. At most 100,000 are counted, 5,000 in a search."""
        asked = read_query(TrafficQuery, request)
        found = read_page(find_flows(get_tenant(request), asked), asked)
        return Response(show_page(asked.page, asked.page_size, *found))

    @document_answers(NetworkTrafficTaken, request={JSON: NetworkTrafficIn, NDJSON: LINES}, errors=[409])
    def post(self, request: Request) -> Response:
        """Send flows: one, an array or NDJSON. 409: a flow of this id has other content."""
        return self.take(request)


def find_flows(tenant: Tenant, asked: TrafficQuery) -> QuerySet[NetworkTraffic]:
    """Return the rows of the tenant's flows that match."""
    found = NetworkTraffic.objects.filter(tenant=tenant)
    exactly = asked.model_dump(
        include={"user_id", "reporter_id", "source_id", "destination_id"}, exclude_none=True
    )
    found = found.filter(**exactly)
    if asked.start_date:
        found = found.filter(occurred_at__gte=asked.start_date)
    if asked.end_date:
        found = found.filter(occurred_at__lte=asked.end_date)
    if asked.search:
        found = found.filter(find_with_text(tenant, asked.search.lower()))
    if asked.protocol is not None or asked.type or asked.connection_type or asked.direction:
        found = found.filter(
            shape__in=[number for number in find_shapes(tenant) if matches_shape(FlowShape.of(number), asked)]
        )
    return found


def matches_shape(shape: FlowShape, asked: TrafficQuery) -> bool:
    """Whether flows of this shape match."""
    return (
        asked.protocol in (None, shape.protocol)
        and (asked.type is None or bool(shape.types & TYPES[asked.type]))
        and (asked.direction is None or shape.direction == DIRECTIONS[asked.direction])
        and (asked.connection_type is None or shape.connection_type == CONNECTION_TYPES[asked.connection_type])
    )


def read_page(found: QuerySet[NetworkTraffic], asked: TrafficQuery) -> tuple[Sequence[int], int, bool]:
    """Return the ids of a page, newest first, the number of flows, and whether there are more."""
    first = (asked.page - 1) * asked.page_size
    last = min(first + asked.page_size, MOST)
    newest = found.order_by("-occurred_at", "-event_id").values_list("event_id", flat=True)
    ids = list(newest[first:last]) if first < last else []
    if 0 < len(ids) < last - first:  # the last page: how many there are is known
        return ids, first + len(ids), False
    counted = min(max(COUNTED, last + 1), MOST) if asked.search else MOST
    count = found.order_by()[: counted + 1].count()
    return ids, min(count, counted), count > counted


def show_page(page: int, page_size: int, ids: Sequence[int], total: int, capped: bool) -> dict[str, Any]:
    """Return a page of events with its counts, in NetBird's format."""
    return {
        "data": [show_event(event) for event in read_events(ids)],
        "page": page,
        "page_size": page_size,
        "total_records": total,
        "total_pages": math.ceil(total / page_size),
        "total_capped": capped,
    }


def read_events(ids: Sequence[int]) -> list[Event]:
    """Return these events, in the order of `ids`."""
    chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
    by_id = {event.id: event for chunk in chunks for event in Event.objects.filter(id__in=chunk)}
    return [by_id[id] for id in ids if id in by_id]
