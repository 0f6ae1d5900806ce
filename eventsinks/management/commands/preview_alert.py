"""Show in the terminal what an event sink would be sent for an alert, without sending it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, TextIO, cast
from uuid import UUID

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import ValidationError
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.panel import Panel
from rich.text import Text

from eventsinks.actions.trying.preview import ALERT, NOBODY, AlertPreview, find_last_alerts, preview_alerts
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import NotAcceptable
from eventsinks.lib.filters.event_filter import BadFilter, EventFilter
from eventsinks.lib.numbers import dumps, parse
from eventsinks.lib.validation import get_first_error
from eventsinks.management.block_kit import WIDTH, draw_message
from eventsinks.models import Destination, Event, Tenant
from eventsinks.models.destination import list_types


class Command(BaseCommand):
    """Show in the terminal what an event sink would be sent for an alert, without sending it."""

    help = "Shows what a sink would be sent for an alert: of a file, of standard input, or one that was accepted."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", nargs="?", default="-", help="an alert in JSON; by default standard input")
        parser.add_argument("--alert", help="the id of an alert that was accepted, instead of a file")
        parser.add_argument("--last", type=int, help="the last so many alerts that were accepted")
        parser.add_argument("--tenant", help="whose alerts --alert and --last mean; by default the sink's tenant")
        parser.add_argument("--type", default="slack", choices=list_types("event_sink"), help="by default slack")
        parser.add_argument("--sink", help="the id of an event sink: its type, its template and its filter")
        parser.add_argument("--template", help="a file with an alert template in JSON, instead of the sink's")
        parser.add_argument("--filter", help="a filter in CEL, or a file that holds one, instead of the sink's")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show each alert. Raises CommandError for input that can't be read."""
        sink = find_sink(options["sink"])
        where = sink or options["type"]
        alerts = find_alerts(options, sink)
        template, wanted = read_template(options["template"]), read_filter(options["filter"], sink)
        console = Console(file=cast(TextIO, self.stdout), highlight=False)
        for shown in preview_alerts(where, template, alerts, wanted):
            show_preview(console, shown, sink.type if sink else options["type"])


def indent_json(body: bytes) -> str:
    """Return JSON with line breaks.

    Numbers keep their text, and control characters are escaped for the terminal.
    """
    text = dumps(parse(body), orjson.OPT_INDENT_2).decode()
    return re.sub(r"[^\n -~]", lambda found: json.dumps(found[0])[1:-1], text)


def show_preview(console: Console, shown: AlertPreview, type: str) -> None:
    """Print one alert as the sink would show it."""
    if type == "slack":
        told = draw_message(json.loads(shown.request.body))
        console.print(Panel(make_harmless(told), title=Text(type), title_align="left", width=WIDTH + 4))
    elif shown.request.method == "MAIL":
        mail = shown.request.body.decode("utf-8", "replace").replace("\r\n", "\n")
        console.print(make_harmless(mail), soft_wrap=True)
    else:
        console.print(JSONHighlighter()(indent_json(shown.request.body)), soft_wrap=True)
    console.print(make_harmless(f"incident: {shown.dedup_key}"), soft_wrap=True)
    if shown.rejected is not None:
        console.print(make_harmless(f"not sent: the filter says no: {shown.rejected}", "yellow"), soft_wrap=True)


def make_harmless(text: str, style: str = "") -> Text:
    """Return a text without control characters for the terminal: an alert may contain some."""
    return Text(re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", "�", text), style)


def find_sink(id: str | None) -> Destination | None:
    """Return the event sink of this id. Raises CommandError."""
    if not id:
        return None
    found = Destination.objects.present().sinks().filter(uuid=read_uuid(id)).first()
    if found is None:
        raise CommandError(f"no event sink {id}")
    return found


def read_uuid(text: str) -> UUID:
    """Return an id. Raises CommandError."""
    try:
        return UUID(text)
    except ValueError:
        raise CommandError(f"{text} is not an id") from None


def find_alerts(options: dict[str, Any], sink: Destination | None) -> list[bytes]:
    """Return the alerts to show. Raises CommandError."""
    if not options["alert"] and not options["last"]:
        return [accept_alert(read_text(options["file"]))]
    tenant = Tenant.objects.filter(id=read_uuid(options["tenant"])).first() if options["tenant"] else None
    tenant = tenant or (sink.tenant if sink and not options["tenant"] else None)
    if tenant is None:
        raise CommandError("whose alerts? give --tenant with the id of a tenant, or --sink")
    if options["last"]:
        return find_last_alerts(tenant, max(options["last"], 0))
    event = Event.objects.filter(tenant=tenant, type=ALERT.key, key=options["alert"]).first()
    if event is None:
        raise CommandError(f"{tenant} has no alert {options['alert']}")
    return [bytes(event.data)]


def accept_alert(raw: bytes) -> bytes:
    """Return an alert as it would be stored. Raises CommandError for one that would be refused."""
    try:
        tenant = json.loads(raw).get("tenant_id")
        return ALERT.accept(raw, UUID(tenant) if tenant else NOBODY).data
    except NotAcceptable as error:
        raise CommandError(f"not an alert: {error.field} {error.message}".replace(":  ", ": ")) from None
    except (ValueError, AttributeError, TypeError) as error:
        raise CommandError(f"not an alert: {error}") from None


def read_template(file: str | None) -> AlertTemplate | None:
    """Return the template of a file. Raises CommandError."""
    if not file:
        return None
    try:
        return AlertTemplate.model_validate_json(read_text(file))
    except ValidationError as error:
        field, message = get_first_error(error)
        raise CommandError(f"not an alert template: {field}: {message}") from None


def read_filter(given: str | None, sink: Destination | None) -> EventFilter | None:
    """Return the filter: the text, the content of the file with that name, or the sink's. Raises CommandError."""
    text = given or getattr(sink, "filter", "")
    if given and len(given) < 255 and "\n" not in given and Path(given).is_file():
        text = read_text(given).decode()
    try:
        return EventFilter(text) if text else None
    except BadFilter as error:
        raise CommandError(f"not a filter: {error}") from None


def read_text(file: str) -> bytes:
    """Return the content of a file or of standard input. Raises CommandError."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"can't read {file}: {error.strerror}") from None
