"""The naive design, for comparison with the engine: one Celery task per delivery, with requests and ORM saves.

It saves the same rows as the engine: an attempt, and the state of the delivery.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from datetime import UTC, datetime

import requests
from celery import shared_task

from eventsinks.models import Attempt, Delivery


@shared_task(name="bench.naive.deliver_one")
def deliver_one(delivery_id: str) -> None:
    """Deliver one delivery."""
    delivery = Delivery.objects.select_related("destination", "event").get(id=delivery_id)
    body = bytes(delivery.event.data)
    timestamp = str(int(time.time()))
    started = datetime.now(UTC)
    signature = hmac.new(b"k" * 32, f"{delivery.id}.{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    response = requests.post(
        delivery.destination.config["url"],
        data=body,
        headers={
            "Content-Type": "application/json",
            "webhook-id": str(delivery.id),
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        },
        timeout=20,
    )
    Attempt.objects.create(
        id=uuid.uuid4(),
        delivery=delivery,
        number=1,
        started_at=started,
        outcome="delivered" if response.ok else "temporary",
        status=response.status_code,
        total_ms=response.elapsed.total_seconds() * 1000,
    )
    delivery.state = "delivered" if response.ok else "pending"
    delivery.tries += 1
    delivery.status = response.status_code
    delivery.settled_at = datetime.now(UTC)
    delivery.save()
