"""The output of the demo on the terminal."""

from __future__ import annotations

import json

from rich.console import Console, Group
from rich.json import JSON
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from eventsinks.management.receiver import Received
from eventsinks.models import Attempt, Delivery

console = Console(highlight=False)


def show_step(text: str) -> None:
    """Show that one step is done."""
    console.print(Text.assemble(("✓ ", "bold green"), text), soft_wrap=True)


def show_received(request: Received) -> None:
    """Show a request as its receiver got it."""
    headers = Table.grid(padding=(0, 2))
    for name, value in request.headers:
        headers.add_row(Text(name, style="cyan"), Text(value))
    body = JSON.from_data(json.loads(request.body)).text
    body.no_wrap, body.overflow = False, "fold"
    console.print(Panel(Group(headers, "", body), title=f"POST {request.path}", title_align="left"))


def show_recorded(delivery: Delivery, attempt: Attempt) -> None:
    """Show the records of a delivery and its attempt."""
    table = Table.grid(padding=(0, 2))
    rows = {
        "delivery": str(delivery.id),
        "state": delivery.get_state_display(),
        "try": str(attempt.number),
        "status": str(attempt.status),
        "peer": attempt.peer,
        "total": f"{attempt.total_ms:.1f} ms",
    }
    for name, value in rows.items():
        table.add_row(Text(name, style="cyan"), Text(value))
    console.print(Panel(table, title="On record", title_align="left"))


def show_end() -> None:
    """Show the end."""
    console.print(Text("Delivered. Everything is stopped again.", style="bold green"))
