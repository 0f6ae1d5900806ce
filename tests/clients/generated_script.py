"""What somebody does with a client that was generated from openapi.yml: run in its own environment."""

from __future__ import annotations

import json
import sys
from uuid import UUID

from generated import AuthenticatedClient
from generated.api.deliveries import delivery_list
from generated.api.detection_alerts import detection_alert_create
from generated.api.event_sinks import event_sink_create
from generated.models import (
    CreateEventSink,
    CreateEventSinkEventSinkArgs,
    CreateEventSinkEventSinkArgsWebhook,
    DeliveryPage,
    DetectionAlertData,
    OneAlert,
    OneEventSink,
)


def main(url: str, key: str, tenant_id: str) -> dict[str, object]:
    """Create an event sink, send an alert, list deliveries; return what was seen."""
    client = AuthenticatedClient(base_url=url, token=key)
    hook = CreateEventSinkEventSinkArgsWebhook(url="https://example.com/hook")
    asked = CreateEventSink(
        tenant_id=UUID(tenant_id),
        name="my hook",
        description="",
        event_sink_args=CreateEventSinkEventSinkArgs(webhook=hook),
    )
    made = event_sink_create.sync(client=client, body=asked)
    assert isinstance(made, OneEventSink), made
    sent = detection_alert_create.sync(client=client, body=DetectionAlertData(name="x", severity="High"))
    assert isinstance(sent, OneAlert), sent
    listed = delivery_list.sync(client=client, event_sink_id=made.event_sink.id)
    assert isinstance(listed, DeliveryPage), listed
    (delivery,) = listed.data.deliveries
    return {
        "type": made.event_sink.destination_type,
        "url": made.event_sink.configuration.to_dict()["Webhook"]["url"],
        "owed": sent.detection_alert.deliveries,
        "alert": [sent.detection_alert.id, delivery.detection_alert_id],
        "state": delivery.state,
        "sink": [str(made.event_sink.id), str(delivery.event_sink_id)],
        "year": delivery.created_at.year,
    }


if __name__ == "__main__":
    print(json.dumps(main(**json.load(sys.stdin))))
