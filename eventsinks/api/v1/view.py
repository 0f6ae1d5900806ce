"""The common parts of the views of /v1: how they read their input, find a row, and make pages."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import orjson
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet, UUIDField
from django.http import Http404
from drf_spectacular.drainage import set_override
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventsinks.api import queries
from eventsinks.api.authentication import get_tenant
from eventsinks.api.errors import ErrorResponse, Invalid, handle_v1_exception
from eventsinks.api.queries import Text
from eventsinks.lib.validation import list_errors
from eventsinks.models import Tenant

Input = TypeVar("Input", bound=BaseModel)
Row = TypeVar("Row", bound=Model)
View = TypeVar("View", bound=Callable[..., Any])
MAX_PAGE = 1000
DEFAULT_PAGE = 100

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Description = Annotated[str, StringConstraints(max_length=10_000)]

ERRORS = {
    400: "Something in the request is not right; `fields` says where.",
    401: "There is no API key, or one that opens nothing.",
    403: "The API key lacks the scope.",
    404: "There is no such thing for this tenant.",
    409: "It clashes with what is there; `message` says how.",
    410: "What was asked for was expunged, or is older than what is kept.",
    413: "The body is too large.",
    415: "The body is not JSON, or not in UTF-8.",
    429: "A limit is reached, which `fields` names.",
    503: "The database can't be reached.",
}


class V1View(APIView):
    """A view of /v1. `scope` is the first half of the scope that a key needs.

    The other fields are for the schema: the `resource`, the names of the methods if it is not a view set, the
    operations whose body is optional, and the errors.
    """

    scope = ""
    resource: ClassVar[str]
    verbs: ClassVar[Mapping[str, str]] = {}
    without_body: ClassVar[frozenset[str]] = frozenset()
    api = "V1"
    error_body = ErrorResponse
    errors = ERRORS
    id_schema: ClassVar[Mapping[str, Any]] = {"type": "string", "format": "uuid"}
    errors_of_a_path = frozenset([404])
    errors_of_a_query = frozenset([400])

    def get_exception_handler(self) -> Callable[..., Any]:
        """Return the function that writes errors in this format."""
        return handle_v1_exception


def read_input(model: type[Input], data: Any) -> Input:
    """Return the checked body. Raises Invalid, which names every field."""
    if not isinstance(data, Mapping):
        raise Invalid([("", "the body must be a JSON object")])
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise Invalid(list_errors(error)) from None


def read_query(model: type[Input], request: Request) -> Input:
    """Return the checked query, with the fields of a GET's JSON body. Some clients send them there."""
    return queries.read_query(model, request, Invalid, request.data if isinstance(request.data, dict) else None)


def require_tenant(request: Request, tenant_id: str | None) -> None:
    """Raise Http404 if the request names another tenant than the key's."""
    if tenant_id is not None:
        find_row(Tenant.objects.filter(id=get_tenant(request).id), tenant_id)


def find_row(rows: QuerySet[Row], id: str, field: str = "pk") -> Row:
    """Return the row with this UUID. Raises Http404, also if the text is not a UUID."""
    try:
        return rows.get(**{field: uuid.UUID(id)})
    except (ValueError, ObjectDoesNotExist):
        raise Http404(f"no such {rows.model._meta.verbose_name}") from None


class Paging(BaseModel):
    """A page: the number of rows, and the token of the page."""

    model_config = ConfigDict(extra="forbid")  # a filter that is misspelt would show what was not asked for

    page_size: Annotated[int, AfterValidator(lambda size: check_range(size, 1, MAX_PAGE))] | None = None
    page_token: Text | None = None


class Pages(Paging):
    """A page, by our own fields or as Scanner writes them: `pagination[page_size]=10`."""

    pagination: Paging | None = None

    @property
    def page(self) -> Paging:
        """The page that the request wants."""
        return self.pagination or self


class Listing(Pages):
    """The tenant of the rows, and the page."""

    tenant_id: str | None = None


def read_own_paging(request: Request) -> Paging:
    """Return the page of the tenant's own rows. Raises Invalid and Http404."""
    asked = read_query(Listing, request)
    require_tenant(request, asked.tenant_id)
    return asked.page


def check_range(value: int, least: int, most: int) -> int:
    """Return `value`. Raises ValueError if it is out of range."""
    if not least <= value <= most:
        raise ValueError(f"must be from {least} to {most}")
    return value


def read_page(rows: QuerySet[Row], paging: Paging, key: str = "id") -> tuple[list[Row], str | None]:
    """Return one page, newest first by `key`, and the token of the next. It neither counts nor skips rows.

    Raises Invalid for a token that this server did not make.
    """
    if paging.page_token:
        kind = uuid.UUID if isinstance(rows.model._meta.get_field(key), UUIDField) else int
        rows = rows.filter(**{f"{key}__lt": read_token(paging.page_token, kind)})
    size = paging.page_size or DEFAULT_PAGE
    found = list(rows.order_by(f"-{key}")[: size + 1])
    if len(found) <= size:
        return found, None
    last = getattr(found[size - 1], key)
    return found[:size], base64.urlsafe_b64encode(orjson.dumps(last)).decode().rstrip("=")


def read_token(token: str, kind: type) -> Any:
    """Return the value in a page token. Its type is `kind`: uuid.UUID or int. Raises Invalid."""
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if kind is uuid.UUID and isinstance(value, str):
            return uuid.UUID(value)
        if kind is int and type(value) is int and 0 <= value < 2**63:
            return value
    except (ValueError, binascii.Error):
        pass
    raise Invalid([("page_token", "is not a token of this list")])


def answer_page(name: str, rows: QuerySet[Row], paging: Paging, show: Callable[[Row], dict[str, Any]]) -> Response:
    """Return the answer with one page of rows in its envelope. `show` makes each row. Raises Invalid."""
    found, token = read_page(rows, paging)
    return Response({"data": {name: [show(row) for row in found]}, "pagination": {"next_page_token": token}})


def make_parameter(name: str, description: str = "", **schema: Any) -> OpenApiParameter:
    """Return a parameter of a query for the schema. An empty value counts as absent."""
    empty = {"type": "string", "maxLength": 0}
    return OpenApiParameter(name, {"anyOf": [schema, empty]}, description=description)


TENANT = make_parameter("tenant_id", "the key's own", type="string", format="uuid")
PAGING = [
    make_parameter(
        "page_size", f"{DEFAULT_PAGE} unless said otherwise", type="integer", minimum=1, maximum=MAX_PAGE
    ),
    make_parameter(
        "page_token", "where the next page begins, from the answer before", type="string", maxLength=1000
    ),
]


def document_answers(ok: Any, **options: Any) -> Callable[[View], View]:
    """Return the decorator that documents a view: its answer `ok`, and errors beside the usual ones."""
    set_override(ok, "many", False)  # our lists are objects with rows inside, never bare arrays
    errors = dict.fromkeys(options.pop("errors", ()), ErrorResponse)
    return extend_schema(responses={200: ok, **errors}, **options)
