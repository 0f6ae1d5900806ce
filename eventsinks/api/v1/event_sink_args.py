"""The arguments of event sinks as Scanner writes them: `{"Webhook": {…}}`, one type to an object.

The name of a type on the wire is the name of its class. Its arguments are the fields of its config. Two types are
different: Slack has a channel by id or by name, and PagerDuty's configuration is never shown. If Scanner does not
know a type, it appears as a webhook, with its own arguments beside (docs/decisions/0013).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventsinks.api.errors import Invalid
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import MASK, AnyDestinationType
from eventsinks.models import Destination
from eventsinks.models.destination import list_types

WIRE_TYPES = {key: DESTINATION_TYPES[key].__name__ for key in list_types("event_sink")}
KINDS = {WIRE_TYPES[key]: DESTINATION_TYPES[key] for key in WIRE_TYPES}
SCANNERS = frozenset(["PagerDuty", "Slack", "Tines", "Webhook"])  # its client fails on any other
SLACK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Which channel of which workspace: by its id, or by its name.",
    "additionalProperties": False,
    "properties": {
        "slack_integration_id": {"type": "string", "format": "uuid", "description": "The workspace."},
        "slack_oauth_code": {
            "type": "string",
            "minLength": 1,
            "description": "The code of an installation, in place of the workspace; for a new event sink only.",
        },
        "channel_id": {"type": ["string", "null"], "description": "The id of the channel."},
        "channel": {"type": ["string", "null"], "description": "Its name, with or without `#`."},
    },
}
SHOWN_SLACK = {
    "type": "object",
    "description": "Which channel is posted to.",
    "required": ["channel_id", "channel_name"],
    "properties": {
        "channel_id": {"type": "string", "description": "Its id; empty where it is known by its name."},
        "channel_name": {"type": "string", "description": "Its name; empty where it is known by its id."},
    },
}
OF_A_FIELD = ("type", "anyOf", "items", "enum", "additionalProperties", "description")


def make_args_schema() -> dict[str, Any]:
    """Return the schema of `event_sink_args`: exactly one type."""
    inside = {name: kind.Config.model_json_schema(mode="validation") for name, kind in KINDS.items()}
    slack = {**SLACK_SCHEMA, "oneOf": [{"required": [name]} for name in list(SLACK_SCHEMA["properties"])[:2]]}
    return {
        "type": "object",
        "description": "Exactly one type, with its arguments.",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {**{name: describe_fields(one) for name, one in inside.items()}, "Slack": slack},
    }


def make_changes_schema() -> dict[str, Any]:
    """Return the schema of `event_sink_args` for a change: absent fields stay."""
    whole = make_args_schema()
    inside = {
        name: {key: value for key, value in one.items() if key not in ("required", "oneOf")}
        for name, one in whole["properties"].items()
    }
    return {**whole, "description": "Its type, with the arguments that change.", "properties": inside}


def make_shown_schema() -> dict[str, Any]:
    """Return the schema of a configuration in an answer, with `****` for each secret."""
    whole = make_args_schema()
    inside = {
        name: {
            **{key: value for key, value in one.items() if key in ("type", "description", "required")},
            "properties": {field: keep_type(value) for field, value in one["properties"].items()},
        }
        for name, one in whole["properties"].items()
    }
    hidden = {"type": "null", "description": "Which service of PagerDuty is alerted is never shown."}
    return {
        "type": "object",
        "description": "Its type with its arguments, `****` for a secret. Beside a type that Scanner does not "
        "have stands a `Webhook`.",
        "properties": {**inside, "Slack": SHOWN_SLACK, "PagerDuty": hidden},
    }


def describe_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a config. Each field has a description, by default its label."""
    fields = {
        name: {**field, "description": field.get("description") or f"{field['title']}."}
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": fields}


def keep_type(schema: Any) -> Any:
    """Return the schema of a field in an answer. It has no pattern, because a masked secret fits none."""
    if isinstance(schema, list):
        return [keep_type(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: keep_type(value) if name != "enum" else value for name, value in schema.items() if name in OF_A_FIELD
    }


def unwrap(
    args: Mapping[str, Any], sink: Destination | None = None
) -> tuple[str, type[AnyDestinationType], dict[str, Any]]:
    """Return the name on the wire, the type, and the fields of its config. An update passes its `sink`.

    Raises Invalid unless there is exactly one known type, which must be the type of `sink`.
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
    config = read_slack_config(fields, new=sink is None) if name == "Slack" else dict(fields)
    return name, KINDS[name], config


def read_slack_config(fields: Mapping[str, Any], new: bool) -> dict[str, Any]:
    """Return Slack's arguments as a config. A new channel id removes the old name, and a new name the old id.

    A new event sink may have a `slack_oauth_code`, as in the first edition. It stays here until it is exchanged.
    """
    check_code(fields, new)
    ours = ("channel", "channel_name", "token", "scopes")  # read here, or nothing a tenant sends
    config = {key: value for key, value in fields.items() if key not in ours and value is not None}
    channel = fields.get("channel")
    if channel is not None and not isinstance(channel, str):
        raise Invalid([("event_sink_args.Slack.channel", "must be a string")])
    if channel or config.get("channel_id"):
        config = {"channel_id": "", **config, "channel_name": (channel or "").lstrip("#")}
    return config


def check_code(fields: Mapping[str, Any], new: bool) -> None:
    """Raise Invalid for an OAuth code that can't be used."""
    code = fields.get("slack_oauth_code")
    if code is None:
        return
    wrong = ""
    if not isinstance(code, str) or not 1 <= len(code) <= 1000 or not code.isprintable():
        wrong = "must be the code that Slack gave"
    elif not new:
        wrong = "is exchanged only when an event sink is created"
    elif fields.get("slack_integration_id") is not None:
        wrong = "goes without slack_integration_id: the code brings a workspace of its own"
    if wrong:
        raise Invalid([("event_sink_args.Slack.slack_oauth_code", wrong)])


def name_on_the_wire(name: str, field: str) -> str:
    """Return the name on the wire of a field of a config."""
    return "channel" if (name, field) == ("Slack", "channel_name") else field


def show_type(sink: Destination) -> str:
    """Return the type of a sink as Scanner's client knows it."""
    name = WIRE_TYPES[sink.type]
    return name if name in SCANNERS else "Webhook"


def show_args(sink: Destination) -> dict[str, Any]:
    """Return a sink's configuration as Scanner's client reads it.

    For a type that it does not know, it sees a webhook with a masked URL, and ignores the rest.
    """
    name = WIRE_TYPES[sink.type]
    if name not in SCANNERS:
        return {"Webhook": {"url": MASK, "headers": {}, "webhook_type": "Other"}, name: sink.config}
    if name == "PagerDuty":
        return {name: None}
    if name == "Slack":
        return {name: {key: sink.config.get(key, "") for key in ("channel_id", "channel_name")}}
    return {name: sink.config}
