"""The shapes of integrations in requests and answers of /api, and how one is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import Http404
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StrictBool, StrictInt, StrictStr
from rest_framework.request import Request

from eventsinks.actions import configure
from eventsinks.actions.status import DestinationStatus, explain_failing, find_status
from eventsinks.api.authentication import get_tenant
from eventsinks.api.netbird.errors import BadRequest, InvalidArgument, PreconditionFailed
from eventsinks.event_types import EVENT_TYPES
from eventsinks.mappings import MAPPINGS
from eventsinks.models import Destination, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.destination import DestinationState, list_types
from eventsinks.models.options import Options, check_filter
from eventsinks.models.stream import LogPlace, find_end_of_log, find_moment_of_log, get_beginning
from eventsinks.streaming.progress import explain_standing

HEARD = [key for key, found in EVENT_TYPES.items() if not found.ours]
LARGEST_ID = 2**63 - 1
MOST_HOURS = 24 * 366 * 10


def make_choice_check(names: Callable[[], list[str]]) -> AfterValidator:
    """Return the check that a text is one of `names`."""

    def check(text: str) -> str:
        if text not in names():
            raise ValueError(f"must be one of {', '.join(names())}")
        return text

    return AfterValidator(check)


def check_each_once(values: list[str]) -> list[str]:
    """Raise ValueError if a list has a value twice."""
    if len(set(values)) < len(values):
        raise ValueError("must not name one twice")
    return values


MappingKey = Annotated[StrictStr, make_choice_check(lambda: sorted(MAPPINGS))]
EventTypeKey = Annotated[StrictStr, make_choice_check(lambda: sorted(HEARD))]
EventTypes = Annotated[list[EventTypeKey], Field(min_length=1), AfterValidator(check_each_once)]


CheckedFilter = Annotated[StrictStr, AfterValidator(check_filter)]  # CEL; "" takes it away


class Hours(BaseModel):
    """The stream starts this many hours ago."""

    model_config = ConfigDict(extra="forbid")

    hours: Annotated[StrictInt, Field(ge=1, le=MOST_HOURS)] = Field(description="how many")


Start = Literal["now", "beginning"] | Hours


class CreateIntegration(BaseModel):
    """A new integration. Every value of the config is a string. docs/api.md lists the fields of each platform."""

    platform: Annotated[StrictStr, Field(json_schema_extra={"enum": [*list_types("integration")]})] = Field(
        description="what it is"
    )
    config: dict[StrictStr, StrictStr] = Field(description="where it goes, and how")
    enabled: StrictBool = Field(True, description="whether it sends")
    start: Start = Field("now", description="where in what was received it begins")
    mapping: MappingKey | None = Field(None, description="the shape in which events go out")
    event_types: EventTypes | None = Field(None, description="what it hears; audit and traffic if absent")
    filter: CheckedFilter | None = Field(None, description="CEL over the event; everything if absent")


class UpdateIntegration(BaseModel):
    """The changes of an integration. Absent fields stay. A `****` in the config keeps the stored secret."""

    config: dict[StrictStr, StrictStr] | None = Field(None, description="what of it changes")
    enabled: StrictBool | None = Field(None, description="whether it sends")
    mapping: MappingKey | None = Field(None, description="the shape in which events go out")
    event_types: EventTypes | None = Field(None, description="what it hears")
    filter: CheckedFilter | None = Field(None, description='CEL over the event; "" takes it away')


class IntegrationOut(BaseModel):
    """An integration."""

    id: int = Field(description="its id")
    account_id: UUID = Field(description="whose it is")
    enabled: bool = Field(description="whether it sends")
    platform: str = Field(description="what it is", json_schema_extra={"enum": [*list_types("integration")]})
    created_at: datetime = Field(description="when it was made")
    updated_at: datetime = Field(description="when it was changed last")
    config: dict[str, str] = Field(description="where it goes, and how; secrets as `****`")
    state: DestinationState = Field(description="whether it sends, and what else it does")
    state_reason: str = Field(description="why it is so")
    status: DestinationStatus = Field(
        description="how it is, in one word; `disabled`: the service itself stopped it; `open`: so much failed "
        "that it is only tried from time to time; `failing`: half of its tries fail, or more"
    )
    failing_since: datetime | None = Field(
        description="since when it is `failing` or `open`; null where it is not"
    )
    failing_reason: str = Field(description="what its last failure was, while it is `failing` or `open`")
    event_types: list[str] = Field(description="what it hears")
    mapping: str = Field(description="the shape in which events go out")
    filter: str = Field(description="CEL over the event; empty: it hears everything")
    stands_since: datetime | None = Field(description="since when nothing is taken; null while it goes on")
    stands_reason: str = Field(description="why nothing is taken")
    set_aside: int = Field(description="how many events were given up, and can be replayed")


class ManyIntegrations(RootModel[list[IntegrationOut]]):
    """Integrations, oldest first."""


class Nothing(BaseModel):
    """An empty object."""

    model_config = ConfigDict(extra="forbid")


def read_options(asked: CreateIntegration | UpdateIntegration) -> Options:
    """Return the options that were given."""
    given = {name: value for name in ("event_types", "filter") if (value := getattr(asked, name)) is not None}
    return Options(**given)


def read_changes(integration: Destination, config: Mapping[str, str] | None) -> Mapping[str, Any] | None:
    """Return the changes of the config. Absent fields stay.

    There is one exception: NetBird's dashboard removes a template by sending URL and headers without it.
    """
    if config is None or integration.type != "generic_http" or not {"url", "headers"} <= config.keys():
        return config
    return {"body_template": None, **config}


def find_integrations(request: Request) -> Any:
    """Return the integrations of the key's tenant."""
    return Destination.objects.of(get_tenant(request)).integrations().select_related("tenant")


def find_integration(request: Request, id: str) -> Destination:
    """Return the integration with this id. Raises BadRequest if the id is not a number, and Http404."""
    if not re.fullmatch(r"[0-9]{1,19}", id) or int(id) > LARGEST_ID:
        raise BadRequest("invalid integration id format")
    found: Destination | None = find_integrations(request).filter(id=int(id)).first()
    if found is None:
        raise make_not_found(id)
    return found


def make_not_found(id: str) -> Http404:
    """Return the error for an integration that does not exist."""
    return Http404(f"event streaming integration {id} not found")


def locate_in_config(error: configure.NotConfigurable) -> InvalidArgument | PreconditionFailed:
    """Return an error of the config as an error of the request, with the path in the request."""
    problems = [(f"config.{problem.field}".rstrip("."), problem.message) for problem in error.errors]
    if isinstance(error, configure.SecretsNeeded):
        return PreconditionFailed("; ".join(f"{field} {message}" for field, message in problems))
    return InvalidArgument(problems)


def show_integration(integration: Destination) -> dict[str, Any]:
    """Return an integration as an answer shows it. This opens no secret."""
    return {
        "id": integration.id,
        "account_id": integration.tenant_id,
        "enabled": integration.enabled,
        "platform": integration.type,
        "created_at": integration.created_at,
        "updated_at": integration.updated_at,
        "config": integration.config,
        "state": integration.state,
        "state_reason": integration.state_reason,
        "status": find_status(integration),
        **explain_failing(integration)._asdict(),
        "event_types": integration.event_types,
        "mapping": integration.mapping,
        "filter": integration.filter,
        **explain_standing(integration)._asdict(),
    }


def find_start(tenant: Tenant, start: str | Hours) -> LogPlace:
    """Return the place in the tenant's event log where a new integration starts."""
    if isinstance(start, Hours):
        return find_moment_of_log(tenant.id, read_database_clock() - timedelta(hours=start.hours))
    return get_beginning() if start == "beginning" else find_end_of_log()
