"""The common parts of the views of /api: how they read their input, and how they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar, TypeVar

from drf_spectacular.drainage import set_override
from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ValidationError
from rest_framework.exceptions import ParseError, PermissionDenied
from rest_framework.request import Request
from rest_framework.views import APIView

from eventsinks.api import queries
from eventsinks.api.authentication import get_tenant
from eventsinks.api.json import JSONParser, JSONRenderer, NulFound
from eventsinks.api.netbird.errors import ERRORS, ErrorBody, InvalidArgument, handle_exception, make_not_json
from eventsinks.lib.validation import list_errors

Input = TypeVar("Input", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Any])


class NetBirdParser(JSONParser):
    """Parses a JSON body. The error for other text has NetBird's words."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, context: Any = None) -> Any:
        """Return the document. Raises ParseError, InvalidArgument and TooLarge."""
        try:
            return super().parse(stream, media_type, context)
        except NulFound as found:
            raise InvalidArgument(found.problems) from None
        except ParseError:
            raise make_not_json() from None


class NetBirdRenderer(JSONRenderer):
    """Writes JSON that names its character set, as NetBird does."""

    charset = "UTF-8"  # type: ignore[assignment]


class NetBirdView(APIView):
    """A view of /api. `scope` is the first half of the scope that a key needs. The rest is for the schema."""

    scope = ""
    resource: ClassVar[str]
    verbs: ClassVar[Mapping[str, str]] = {}
    without_body: ClassVar[frozenset[str]] = frozenset()
    api = "NetBird"
    error_body = ErrorBody
    errors = ERRORS
    id_schema: ClassVar[Mapping[str, Any]] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    errors_of_a_path = frozenset([400, 404])
    errors_of_a_query = frozenset([422])
    parser_classes = (NetBirdParser,)
    renderer_classes = (NetBirdRenderer,)

    def get_exception_handler(self) -> Callable[..., Any]:
        """Return the function that writes errors in this format."""
        return handle_exception

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse an account that the key does not belong to."""
        super().initial(request, *args, **kwargs)
        account = request.query_params.get("account")
        if account and account.lower() != str(get_tenant(request).id):
            raise PermissionDenied("permission denied")


def read_body(model: type[Input], request: Request) -> Input:
    """Return the checked body. Raises ParseError if it is not an object, InvalidArgument for its fields."""
    if request.headers.get("Content-Length") in (None, "", "0") or not isinstance(request.data, Mapping):
        raise make_not_json()
    return read_input(model, request.data)


def read_input(model: type[Input], data: Any) -> Input:
    """Return checked input. Raises ParseError if it is not an object, InvalidArgument for its fields."""
    if not isinstance(data, Mapping):
        raise make_not_json()
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidArgument(list_errors(error)) from None


def read_query(model: type[Input], request: Request) -> Input:
    """Return the checked query. An empty value counts as absent. Raises InvalidArgument."""
    return queries.read_query(model, request, InvalidArgument)


def document_answers(ok: Any, **options: Any) -> Callable[[View], View]:
    """Return the decorator that documents a view: its answer `ok`, and errors beside the usual ones."""
    set_override(ok, "many", False)  # a list is written out as one
    errors = dict.fromkeys(options.pop("errors", ()), ErrorBody)
    return extend_schema(responses={200: ok, **errors}, **options)
