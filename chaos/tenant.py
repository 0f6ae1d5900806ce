"""Makes the tenant of a run with its destinations, in a process of its own: `python -m chaos.tenant URL`.

It prints the tenant's key and the ids of its destinations as JSON. URL is that of the far ends.
"""

from __future__ import annotations

import json
import sys

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from chaos.names import BUCKET, ORDERED, REGION  # noqa: E402
from eventsinks.actions import configure  # noqa: E402
from eventsinks.actions.tenants import create_tenant, issue_key  # noqa: E402
from eventsinks.models import SlackWorkspace  # noqa: E402
from eventsinks.models.limits import MOST  # noqa: E402
from eventsinks.models.options import Options  # noqa: E402

KEYS = {"access_key": "AKIAEXAMPLE", "secret_key": "secret"}
MARKED = 'tags.exists(tag, tag == "{}")'  # the filter of those that get only alerts of one kind


def make_tenant(far: str) -> dict[str, object]:
    """Migrate, and make the tenant."""
    call_command("migrate", verbosity=0)
    most = dict.fromkeys(("pending_per_sink", "requests_per_s", "alerts_per_s", "events_per_s"), MOST)
    tenant = create_tenant("Chaos", limits=most)
    workspace = SlackWorkspace(tenant=tenant, team_id="T1", team_name="Chaos")
    workspace.token = "xoxb-chaos"
    workspace.save()
    made = {}

    def add(name: str, type: str, config: dict[str, str], **options: object) -> None:
        chosen = Options.model_validate(options) if options else None
        made[name] = configure.create(tenant, type, config, name=name, options=chosen).id

    add("plain", "webhook", {"url": f"{far}/plain"})
    add("moody", "webhook", {"url": f"{far}/moody"})
    for name in ORDERED:
        add(name, "webhook", {"url": f"{far}/{name}"}, ordering="event_sink", filter=MARKED.format("ordered"))
    add("pagerduty", "pagerduty", {"integration_key": "R" * 32}, filter=MARKED.format("page"))
    channel = {"slack_integration_id": str(workspace.id), "channel_id": "C1", "channel_name": "alerts"}
    add("slack", "slack", channel, filter=MARKED.format("chat"))
    add("http", "generic_http", {"url": f"{far}/http"})
    add("s3", "s3", {"bucket_name": BUCKET, "region": REGION, **KEYS})
    return {"key": issue_key(tenant)[1], "destinations": made}


if __name__ == "__main__":
    print(json.dumps(make_tenant(sys.argv[1])))
