"""The arguments of event sinks as Scanner writes them: `{"Webhook": {…}}`, one type to an object.

A type's name on the wire is its class's name. Every type's arguments are the fields of its config, but for the two
that Scanner writes otherwise: Slack (a channel by id or by name) and PagerDuty (its configuration is never shown).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventsinks.api.errors import Invalid
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import AnyDestinationType
from eventsinks.models import Destination
from eventsinks.models.destination import types_with

WIRE_TYPES = {key: DESTINATION_TYPES[key].__name__ for key in types_with("event_sink")}
KINDS = {WIRE_TYPES[key]: DESTINATION_TYPES[key] for key in WIRE_TYPES}
SLACK_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["slack_integration_id"],
    "properties": {
        "slack_integration_id": {"type": "string", "format": "uuid"},
        "channel_id": {"type": ["string", "null"]},
        "channel": {"type": ["string", "null"]},
    },
}


def args_schema() -> dict[str, Any]:
    """Return the schema of `event_sink_args`: exactly one type."""
    inside = {name: kind.Config.model_json_schema(mode="validation") for name, kind in KINDS.items()}
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {**inside, "Slack": SLACK_SCHEMA},
    }


ARGS_SCHEMA = args_schema()


def unwrap(
    args: Mapping[str, Any], sink: Destination | None = None
) -> tuple[str, type[AnyDestinationType], dict[str, Any]]:
    """Return (name on the wire, type, fields of its config); for an update, `sink` is what changes.

    Raises Invalid unless it is exactly one type that there is, and the one of `sink`.
    """
    if len(args) != 1:
        raise Invalid([("event_sink_args", f"must have exactly one of {', '.join(KINDS)}")])
    ((name, fields),) = args.items()
    if name not in KINDS:
        raise Invalid([(f"event_sink_args.{name}"[:300], f"no such type; there are {', '.join(KINDS)}")])
    if sink is not None and WIRE_TYPES[sink.type] != name:
        raise Invalid([(f"event_sink_args.{name}", f"this event sink is a {WIRE_TYPES[sink.type]}")])
    if not isinstance(fields, Mapping):
        raise Invalid([(f"event_sink_args.{name}", "must be an object")])
    config = slack_config(fields) if name == "Slack" else dict(fields)
    return name, KINDS[name], config


def slack_config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return Slack's arguments as config: naming a channel by its id forgets the name, and the reverse."""
    if fields.get("slack_oauth_code") is not None:
        message = "an OAuth code can't be exchanged here; give the slack_integration_id of an installed workspace"
        raise Invalid([("event_sink_args.Slack.slack_oauth_code", message)])
    ours = ("channel", "channel_name", "token", "slack_oauth_code")  # read here, or nothing a tenant sends
    config = {key: value for key, value in fields.items() if key not in ours and value is not None}
    channel = fields.get("channel")
    if channel is not None and not isinstance(channel, str):
        raise Invalid([("event_sink_args.Slack.channel", "must be a string")])
    if channel or config.get("channel_id"):
        config = {"channel_id": "", **config, "channel_name": (channel or "").lstrip("#")}
    return config


def on_the_wire(name: str, field: str) -> str:
    """Return what the sender of a type's arguments calls a field of its config."""
    return "channel" if (name, field) == ("Slack", "channel_name") else field


def shown(sink: Destination) -> dict[str, Any]:
    """Return a sink's configuration as Scanner's client reads it."""
    name = WIRE_TYPES[sink.type]
    if name == "PagerDuty":
        return {name: None}
    if name == "Slack":
        return {name: {key: sink.config.get(key, "") for key in ("channel_id", "channel_name")}}
    return {name: sink.config}
