"""Deliver one alert from end to end, show it, and exit."""

from __future__ import annotations

import hmac
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from eventsinks.lib.secrets.signing import decode_key, make_signature_headers
from eventsinks.management import direct, showing, throwaway
from eventsinks.management.broker import NoServer
from eventsinks.management.first_start import Credentials, get_credentials
from eventsinks.management.processes import Fallen, Interrupted
from eventsinks.management.receiver import Received, Receiver
from eventsinks.management.system import System
from eventsinks.models import Attempt, Delivery, Destination
from eventsinks.models.delivery import DeliveryState

PATIENCE = 30.0  # seconds that the delivery may take
ALERT = {
    "name": "Root login from a new country",
    "description": "root signed in to prod-db-1 from a country that it never signed in from before.",
    "severity": "High",
    "tags": ["tactics.ta0001.initial_access"],
    "results_table": {"rows": [{"user": "root", "host": "prod-db-1", "country": "IS"}]},
}


class Command(BaseCommand):
    """Deliver one alert from end to end, show it, and exit."""

    help = "Runs everything on a throw-away directory, delivers one alert to a webhook, shows it, and exits."
    requires_system_checks: list[str] = []  # it runs the checks while the web server starts

    def handle(self, *args: Any, **options: Any) -> None:
        """Start a throw-away system and run the demo in it."""
        if not throwaway.is_throwaway():
            os.execve(sys.executable, [sys.executable, *sys.argv], throwaway.make_environment(os.environ))
        receiver = Receiver()
        os.environ["EVENTSINKS_ALLOWED_NETWORKS"] = receiver.address
        log = settings.VAR_DIR / "demo.log"
        try:
            with log.open("wb") as output:
                run_demo(System(output), receiver)
        except Interrupted:
            raise CommandError("interrupted") from None
        except (Fallen, NoServer, OSError) as error:
            raise CommandError(f"{error}\n{read_ending(log)}".strip()) from None
        finally:
            receiver.close()
            shutil.rmtree(settings.VAR_DIR, ignore_errors=True)


def run_demo(system: System, receiver: Receiver) -> None:
    """Start the system, deliver the alert, show the result, and stop the system. Raises Fallen."""
    began = time.monotonic()
    try:
        system.start()
        receiver.start()  # a thread, so it starts after all processes
        showing.show_step(f"Everything runs at {system.url} ({time.monotonic() - began:.1f} s)")
        deliver_alert(system, receiver, get_credentials(system.url))
    finally:
        system.stop()
    showing.show_end()


def deliver_alert(system: System, receiver: Receiver, known: Credentials) -> None:
    """Make a sink, send an alert, and show what the sink got. Raises Fallen."""
    webhook = {"Webhook": {"url": receiver.url}}
    sink = {"tenant_id": known.tenant_id, "name": "demo receiver", "description": "the demo's own"}
    made = post(system.url, "event_sink", known.api_key, {**sink, "event_sink_args": webhook})
    showing.show_step(f"POST /v1/event_sink made webhook {made['event_sink']['id']} to {receiver.url}")
    accepted = post(system.url, "detection_alert", known.api_key, ALERT)["detection_alert"]
    showing.show_step(f"POST /v1/detection_alert accepted {accepted['id']}")
    system.family.wait_until(lambda: not receiver.requests.empty(), PATIENCE, "a request to the webhook")
    received = receiver.requests.get()
    showing.show_received(received)
    destination = Destination.objects.get(uuid=made["event_sink"]["id"])
    if not is_genuine(received, destination.signing_secret):
        raise Fallen("the signature is not the one of this sink's secret")
    showing.show_step("The signature is genuine: computed again with the sink's secret, it is the same")
    showing.show_recorded(*find_on_record(system, destination))


def post(url: str, noun: str, key: str, body: dict[str, Any]) -> Any:
    """POST to the API, and return its answer. Raises Fallen for an error."""
    headers = {"Authorization": f"Bearer {key}"}
    answer = direct.post(f"{url}/v1/{noun}", json=body, headers=headers, timeout=PATIENCE)
    if not answer.ok:
        raise Fallen(f"POST /v1/{noun} answered {answer.status_code}: {answer.text[:500]}")
    return answer.json()


def is_genuine(received: Received, secret: str) -> bool:
    """Whether a request has the signature that the sink's secret makes."""
    moment = received.header("webhook-timestamp")
    if not moment.isdigit():
        return False
    signed = make_signature_headers(
        [decode_key(secret)], received.header("webhook-id"), int(moment), received.body
    )
    expected = dict(signed)["webhook-signature"]
    return hmac.compare_digest(expected, received.header("webhook-signature"))


def find_on_record(system: System, destination: Destination) -> tuple[Delivery, Attempt]:
    """Return the delivery and its attempt as soon as they are recorded. Raises Fallen."""
    owed = Delivery.objects.filter(destination=destination)
    delivered = owed.filter(state=DeliveryState.DELIVERED)
    system.family.wait_until(delivered.exists, PATIENCE, "a delivery on record")
    delivery = delivered.get()
    return delivery, delivery.attempts.get()


def read_ending(log: Path, lines: int = 20) -> str:
    """Return the last lines that the processes wrote."""
    written = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(written[-lines:])
