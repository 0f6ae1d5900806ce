"""GET /api/events/proxy: the requests that NetBird's reverse proxy served, with NetBird's filters and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from django.db.models import Q, QuerySet
from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.api.authentication import get_tenant
from eventsinks.api.media_types import JSON, NDJSON
from eventsinks.api.netbird.event_shapes import ProxyIn, ProxyPage, ProxyTaken
from eventsinks.api.netbird.events import LINES, EventsView
from eventsinks.api.netbird.traffic import End, Moment, make_choice_check, make_parameter, show_page
from eventsinks.api.netbird.view import document_answers, read_query
from eventsinks.api.queries import Text
from eventsinks.event_types.proxy import write_address
from eventsinks.models import ProxyAccess, Tenant

MOST = 100_000  # of the newest that match: these are counted, sorted and paged through
LARGEST_PAGE = 50_000
LOOKED_AT = 500_000  # requests that are read for what no index answers
# The fields that NetBird sorts by, and our columns for them.
SORTS = {
    "timestamp": ("occurred_at",),
    "url": ("host", "path"),
    "host": ("host",),
    "path": ("path",),
    "method": ("method",),
    "status_code": ("status_code",),
    "duration": ("duration_ms",),
    "source_ip": ("source_ip",),
    "user_id": ("user_id",),
    "auth_method": ("auth_method",),
    "reason": ("reason",),
}
# The condition on the rows for each filter.
LOOKUPS = {
    **{name: name for name in ("source_ip", "host", "user_id", "method", "status_code")},
    **{name: f"{name}__contains" for name in ("path", "user_email", "user_name", "search")},
    "start_date": "occurred_at__gte",
    "end_date": "occurred_at__lte",
}

Column = Annotated[str, make_choice_check(*map(str.upper, SORTS))]
Order = Annotated[str, make_choice_check("ASC", "DESC")]
Status = Annotated[str, make_choice_check("SUCCESS", "FAILED")]


class ProxyQuery(BaseModel):
    """Which requests, their order, and the page. A request must match all filters."""

    page: Annotated[int, Field(ge=1, lt=2**31)] = 1
    page_size: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 50
    sort_by: Column = "TIMESTAMP"
    sort_order: Order = "DESC"
    search: Text | None = None
    source_ip: Text | None = None
    host: Text | None = None
    path: Text | None = None
    user_id: Text | None = None
    user_email: Text | None = None
    user_name: Text | None = None
    method: Text | None = None
    status: Status | None = None
    status_code: Annotated[int, Field(ge=0, le=999)] | None = None
    start_date: Moment | None = None
    end_date: End | None = None


FILTERS = [
    make_parameter("page", "counts from 1", type="integer", minimum=1, maximum=2**31 - 1),
    make_parameter("page_size", "50 unless said otherwise", type="integer", minimum=1, maximum=LARGEST_PAGE),
    make_parameter("sort_by", "timestamp unless said otherwise", type="string", enum=list(SORTS)),
    make_parameter("sort_order", "desc unless said otherwise", type="string", enum=["asc", "desc"]),
    make_parameter(
        "search", "a part of the id, host, path, address, email or name", type="string", maxLength=1000
    ),
    *(make_parameter(name, "exactly", type="string", maxLength=1000) for name in ("source_ip", "host", "user_id")),
    *(
        make_parameter(name, "a part of it", type="string", maxLength=1000)
        for name in ("path", "user_email", "user_name")
    ),
    make_parameter("method", "as GET", type="string", maxLength=1000),
    make_parameter("status", "success: 2xx and 3xx; failed: the rest", type="string", enum=["success", "failed"]),
    make_parameter("status_code", "exactly", type="integer", minimum=0, maximum=999),
    make_parameter("start_date", "from then on", type="string", format="date-time"),
    make_parameter("end_date", "until then; of a day, until its end", type="string", format="date-time"),
]


class ProxyView(EventsView):
    """Requests to the reverse proxy."""

    type = "proxy"
    resource = "proxy_event"

    @document_answers(ProxyPage, parameters=FILTERS)
    def get(self, request: Request) -> Response:
        """List requests to the proxy, newest first. The newest 100,000 that match are counted and sorted."""
        asked = read_query(ProxyQuery, request)
        found = read_page(find_requests(get_tenant(request), asked), asked)
        return Response(show_page(asked.page, asked.page_size, *found))

    @document_answers(ProxyTaken, request={JSON: ProxyIn, NDJSON: LINES}, errors=[409])
    def post(self, request: Request) -> Response:
        """Send requests to the proxy: one, an array or NDJSON. 409: one of this id has other content."""
        return self.take(request)


def find_requests(tenant: Tenant, asked: ProxyQuery) -> QuerySet[ProxyAccess]:
    """Return the rows of the tenant's requests that match."""
    given = asked.model_dump(include=set(LOOKUPS), exclude_none=True)
    conditions = {LOOKUPS[name]: fold_case(name, value) for name, value in given.items()}
    found = ProxyAccess.objects.filter(tenant=tenant, **conditions)
    if asked.search or asked.path or asked.user_email or asked.user_name or asked.status or asked.method:
        found = found.filter(make_newest_condition(tenant, asked))
    if asked.status:
        went_well = Q(status_code__gte=200, status_code__lt=400)
        found = found.filter(went_well if asked.status == "SUCCESS" else ~went_well)
    return found


def make_newest_condition(tenant: Tenant, asked: ProxyQuery) -> Q:
    """Return the condition that a request is among the newest LOOKED_AT of the given time.

    Filters without an index read row by row. Older requests are found by their dates.
    """
    its = ProxyAccess.objects.filter(tenant=tenant)
    if asked.end_date:
        its = its.filter(occurred_at__lte=asked.end_date)
    edge = its.order_by("-occurred_at").values_list("occurred_at", flat=True)[LOOKED_AT : LOOKED_AT + 1].first()
    return Q(occurred_at__gte=edge) if edge else Q()


def fold_case(name: str, value: Any) -> Any:
    """Return the value in the form of its column: in upper or lower case, or as the shortest address."""
    if name == "method":
        return value.upper()
    if name == "source_ip":
        return write_address(value)
    return value.lower() if name in ("host", "path", "search", "user_email", "user_name") else value


def read_page(found: QuerySet[ProxyAccess], asked: ProxyQuery) -> tuple[Sequence[int], int, bool]:
    """Return the ids of a page, the number of requests, and whether there are more."""
    first = (asked.page - 1) * asked.page_size
    last = min(first + asked.page_size, MOST)
    count = found.order_by()[: MOST + 1].count()
    columns, sign = SORTS[asked.sort_by.lower()], "-" if asked.sort_order == "DESC" else ""
    newest = found.order_by("-occurred_at", "-event_id")
    if asked.sort_by != "TIMESTAMP" and count > MOST:  # what is sorted is bounded, too
        newest = ProxyAccess.objects.filter(event_id__in=newest.values("event_id")[:MOST])
    order = [f"{sign}{column}" for column in (*columns, "event_id")]
    ids = list(newest.order_by(*order).values_list("event_id", flat=True)[first:last]) if first < last else []
    return ids, min(count, MOST), count > MOST
