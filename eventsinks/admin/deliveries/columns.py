"""Columns: what the list of deliveries shows of each."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from eventsinks.admin.parts import marks
from eventsinks.admin.parts.alerts import make_severity_chip, name_event, show_id
from eventsinks.models import Delivery
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.delivery import DeliveryState
from eventsinks.sending.judge import get_max_tries


class DeliveryColumns:
    """The columns of a delivery. It stands before ModelAdmin."""

    @admin.display(description="Event")
    def alert(self, delivery: Delivery) -> SafeString:
        """The name and the rule of its event."""
        return name_event(delivery.event)

    @admin.display(description="Severity")
    def severity_chip(self, delivery: Delivery) -> SafeString | str:
        """The severity of its event."""
        return make_severity_chip(delivery.event) or "–"

    @admin.display(description="State")
    def status_chip(self, delivery: Delivery) -> SafeString:
        """The state."""
        return marks.make_delivery_chip(delivery.state)

    @admin.display(description="Event sink")
    def sink(self, delivery: Delivery) -> SafeString | str:
        """The event sink."""
        return marks.link_sink(delivery.destination)

    @admin.display(description="Tenant")
    def tenant(self, delivery: Delivery) -> str:
        """The name of its tenant."""
        return delivery.destination.tenant.name

    @admin.display(description="Tries")
    def tries_made(self, delivery: Delivery) -> SafeString:
        """The tries so far, and how many there can be."""
        return format_html('<span class="es-nowrap">{} of {}</span>', delivery.tries, get_max_tries())

    @admin.display(description="When")
    def due(self, delivery: Delivery) -> SafeString | str:
        """The moment when it is due or when it ended, or what it waits for."""
        if delivery.state not in (DeliveryState.PENDING, DeliveryState.SENDING):
            return marks.mark_moment(delivery.settled_at)
        if delivery.is_behind:
            return "waits for an earlier one"
        tone, status = marks.name_status(delivery.destination)
        if delivery.state == DeliveryState.PENDING and tone != "good":
            return f"waits: {status.partition(':')[0].lower() if tone != 'warning' else 'held'}"
        return "due now" if delivery.due_at <= estimate_database_clock() else marks.mark_moment(delivery.due_at)

    @admin.display(description="Answer")
    def answer(self, delivery: Delivery) -> str:
        """The status of the last response."""
        return str(delivery.status) if delivery.status else "–"

    @admin.display(description="Reason")
    def why(self, delivery: Delivery) -> SafeString | str:
        """Why the last try did not deliver."""
        return marks.clip_text(delivery.reason) if delivery.reason else "–"

    @admin.display(description="Event id")
    def id_to_copy(self, delivery: Delivery) -> SafeString:
        """The event's id, as its sender wrote it."""
        return show_id(delivery.event.key, f"id-{delivery.pk}")
