"""Fill: writes many deliveries by SQL, so that a benchmark begins with full tables. Call it in Django."""

from __future__ import annotations

from typing import Any

from django.db import connection

from eventsinks.models import Destination

CHUNK = 50_000  # rows of one statement, so that other writers get their turn on SQLite


def fill(sink: Destination, body: bytes, rows: int, state: str, *, due_in_days: int = 0) -> None:
    """Write so many deliveries of a sink, each with its event, and with an attempt if it is delivered."""
    postgresql = connection.vendor == "postgresql"
    tenant: Any = sink.tenant_id if postgresql else sink.tenant_id.hex
    id = "gen_random_uuid()" if postgresql else "lower(hex(randomblob(16)))"
    now = "now()" if postgresql else "datetime('now')"
    due = f"now() + interval '{due_in_days} day'" if postgresql else f"datetime('now', '+{due_in_days} day')"
    settled, tries = (now, 1) if state == "delivered" else ("NULL", 0)
    with connection.cursor() as cursor:
        for start in range(0, rows, CHUNK):
            cursor.execute("SELECT coalesce(max(id), 0) FROM eventsinks_event")
            (newest,) = cursor.fetchone()
            cursor.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
                " INSERT INTO eventsinks_event (tenant_id, type, key, data, digest, occurred_at, owed)"
                " SELECT %s, 'detection_alert', %s || CAST(i AS text), %s, %s, CURRENT_TIMESTAMP, 1 FROM n",
                [min(CHUNK, rows - start), tenant, f"filled {start} ", body, b"0"],
            )
            cursor.execute(
                "INSERT INTO eventsinks_delivery"
                " (id, event_id, destination_id, state, tries, due_at, reason, settled_at)"
                f" SELECT {id}, id, %s, %s, %s, {due}, '', {settled} FROM eventsinks_event"
                " WHERE id > %s AND tenant_id = %s",
                [sink.id, state, tries, newest, tenant],
            )
            if state == "delivered":
                cursor.execute(
                    "INSERT INTO eventsinks_attempt (id, delivery_id, number, started_at, outcome, status, reason,"
                    " excerpt, peer, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms)"
                    f" SELECT {id}, d.id, 1, {now}, 'delivered', 204, '', '', '127.0.0.1', 0, 0, 0, 1, 1"
                    " FROM eventsinks_delivery d WHERE d.destination_id = %s AND d.event_id > %s",
                    [sink.id, newest],
                )
