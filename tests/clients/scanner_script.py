"""Drive event sinks with the real `scanner-client`, and print what it made of the answers, as JSON.

Runs in the client's own environment, so it imports nothing of ours. What it needs comes as JSON on standard input:
url, key, tenant_id, workspace_id, foreign_id, foreign_tenant_id; for the second run also `delete`, ids; for the
third instead `see`, ids by name.
"""

import json
import sys
import uuid

from scanner_client import (
    NotFound,
    Scanner,
    create_pagerduty_event_sink_args,
    create_slack_event_sink_args,
    create_webhook_event_sink_args,
    update_pagerduty_event_sink_args,
    update_slack_event_sink_args,
    update_webhook_event_sink_args,
)
from scanner_client._raw_api.models import (
    CreateEventSinkArgsType2,
    UpdateEventSinkArgsType2,
    WebhookArgs,
    WebhookArgsHeaders,
    WebhookType,
)

given = json.load(sys.stdin)
sinks = Scanner(api_url=given["url"], api_key=given["key"]).event_sink


def created():
    """Create one of each sort; return them by name."""
    workspace = given["workspace_id"]
    headers = WebhookArgsHeaders.from_dict({"X-Api-Key": "a secret of the webhook"})
    torq = WebhookArgs(url="https://torq.example.com/hook", headers=headers, webhook_type=WebhookType.TORQ)
    arguments = {
        "webhook": create_webhook_event_sink_args("https://example.com/hook"),
        "torq": CreateEventSinkArgsType2(webhook=torq),
        "pagerduty": create_pagerduty_event_sink_args("00112233445566778899aabbccddeeff"),
        "slack by id": create_slack_event_sink_args(workspace, channel_id="C12345678"),
        "slack by name": create_slack_event_sink_args(workspace, channel="#security-alerts"),
    }
    return {
        name: sinks.create(given["tenant_id"], name, f"a {name} sink", args) for name, args in arguments.items()
    }


def updated(ids):
    """Update each of them; return what the client says they are now."""
    headers = WebhookArgsHeaders.from_dict({"X-Api-Key": "****", "X-Other": "new"})
    torq = WebhookArgs(url="https://torq.example.com/new", headers=headers, webhook_type=WebhookType.TORQ)
    changes = {
        "webhook": {"event_sink_args": update_webhook_event_sink_args("https://example.com/new")},
        "torq": {"event_sink_args": UpdateEventSinkArgsType2(webhook=torq)},
        "pagerduty": {"event_sink_args": update_pagerduty_event_sink_args("ffeeddccbbaa99887766554433221100")},
        "slack by id": {"event_sink_args": update_slack_event_sink_args(channel="#general")},
        "slack by name": {"event_sink_args": update_slack_event_sink_args(channel_id="C87654321")},
    }
    for name, change in changes.items():
        sinks.update(ids[name], name=f"new {name}")
        sinks.update(ids[name], description="new")
        sinks.update(ids[name], **change)
    return {name: sinks.get(id) for name, id in ids.items()}


def seen(ids):
    """Return what the client makes of sinks that it can't create: of each, and of the list that holds them."""
    listed = {sink.name: sink.to_dict() for sink in sinks.list_all(given["tenant_id"])}
    return {"got": shown({name: sinks.get(id) for name, id in ids.items()}), "listed": listed}


def error_of(call, *arguments):
    """Return the name of the exception that a call raises."""
    try:
        call(*arguments)
    except NotFound:
        return "NotFound"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def not_found():
    """Ask for what is not there, or not ours, in every way."""
    outcomes = {}
    for name, id in (("foreign", given["foreign_id"]), ("unknown", str(uuid.uuid4()))):
        outcomes[f"get {name}"] = error_of(sinks.get, id)
        outcomes[f"update {name}"] = error_of(sinks.update, id, "mine now")
        outcomes[f"delete {name}"] = error_of(sinks.delete, id)
    foreign = given["foreign_tenant_id"]
    outcomes["list foreign"] = error_of(sinks.list_all, foreign)
    webhook = create_webhook_event_sink_args("https://example.com/hook")
    outcomes["create foreign"] = error_of(sinks.create, foreign, "x", "x", webhook)
    return outcomes


def shown(found):
    return {name: sink.to_dict() for name, sink in found.items()}


def managed():
    """Create, get, list and update; leave everything there."""
    found = {"created": shown(created())}
    ids = {name: sink["id"] for name, sink in found["created"].items()}
    found["got"] = shown({name: sinks.get(id) for name, id in ids.items()})
    found["listed"] = [sink.to_dict() for sink in sinks.list_all(given["tenant_id"])]
    found["updated"] = shown(updated(ids))
    found["not found"] = not_found()
    found["wrong key"] = error_of(Scanner(api_url=given["url"], api_key="wrong").event_sink.get, ids["webhook"])
    return found


def deleted(ids):
    """Delete them, and look for them again."""
    return {
        "deleted": [sinks.delete(id).to_dict() for id in ids],
        "after deletion": [error_of(sinks.get, id) for id in ids],
        "listed": [sink.to_dict() for sink in sinks.list_all(given["tenant_id"])],
    }


if "see" in given:
    print(json.dumps(seen(given["see"])))
    sys.exit()
print(json.dumps(deleted(given["delete"]) if "delete" in given else managed()))
