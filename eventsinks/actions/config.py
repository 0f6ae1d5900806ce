"""Config: checks the config of a destination, and lets its type look at the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.core.exceptions import ValidationError as DjangoValidationError
from pydantic import ValidationError

from eventsinks.actions.errors import FieldError, NotConfigurable, SecretsNeeded
from eventsinks.destinations import destination_type
from eventsinks.destinations.base import NEEDED, Config, NotConnected
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.lib.validation import list_errors
from eventsinks.limits.address_guard import make_guard
from eventsinks.limits.trials import hold_trial
from eventsinks.models import Destination, SlackWorkspace, Tenant
from eventsinks.models.secrets.sealing import open_sealed


def check_config(type: str, config: Mapping[str, Any]) -> Config:
    """Check `config` for the type with key `type`, and return it. Contacts no service. Raises NotConfigurable."""
    try:
        return destination_type(type).Config.model_validate(dict(config), context={"guard": make_guard()})
    except ValidationError as error:
        raise make_not_configurable(error) from None


def change_config(current: Destination, config: Mapping[str, Any]) -> Config:
    """Return the config with the changes. Raises NotConfigurable.

    If its secrets can't be opened any more, all must be entered again, and requests get a new signing secret.
    """
    try:
        for column in ("sealed_signing_secret", "sealed_old_signing_secret"):
            if getattr(current, column):
                open_sealed(current, column)
        return cast(Config, current.opened_config().apply_changes(config, make_guard()))
    except CannotOpen:
        current.sealed_signing_secret = current.sealed_old_signing_secret = ""
        current.old_signing_secret_until = None
        return check_config(current.type, {**current.config, **config})
    except ValidationError as error:
        raise make_not_configurable(error) from None


def connect_to_service(destination: Destination) -> None:
    """Let the type look at the service before its config is stored. Raises NotConfigurable and LimitReached."""
    if not destination.kind.connects:
        return
    try:
        with hold_trial(destination.tenant, counted=False):
            destination.set_config(destination.opened().connect())
    except CannotOpen:  # it can be stored; the secrets are repaired elsewhere
        return
    except NotConnected as error:
        raise NotConfigurable(FieldError(error.field, error.message)) from None


def find_workspace(tenant: Tenant, config: Mapping[str, Any]) -> SlackWorkspace | None:
    """Return the tenant's Slack workspace that `config` names, if any. Raises NotConfigurable."""
    named = config.get("slack_integration_id")
    if named is None:
        return None
    try:
        return SlackWorkspace.objects.get(tenant=tenant, id=named)
    except SlackWorkspace.DoesNotExist:
        raise NotConfigurable(FieldError("slack_integration_id", "no such Slack integration")) from None
    except (DjangoValidationError, TypeError):
        raise NotConfigurable(FieldError("slack_integration_id", "must be a UUID")) from None


def make_not_configurable(error: ValidationError) -> NotConfigurable:
    """Return pydantic's errors as a NotConfigurable."""
    kinds = {
        found["type"] for found in error.errors(include_url=False, include_context=False, include_input=False)
    }
    wrong = SecretsNeeded if NEEDED in kinds else NotConfigurable
    return wrong(*(FieldError(field, message) for field, message in list_errors(error)))
