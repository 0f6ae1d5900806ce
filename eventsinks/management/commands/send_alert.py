"""Post detection alerts to the API, from anywhere."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventsinks.event_types.base import SEVERITIES
from eventsinks.management import direct
from eventsinks.management.first_start import Credentials, read_credentials

PATIENCE = 60.0  # seconds that the API may take


class Command(BaseCommand):
    """Post detection alerts to the API, from anywhere."""

    help = "Posts one alert (--name), or what a file or standard input holds, to the API; prints its answer."
    requires_system_checks: list[str] = []  # it talks to a server and runs none

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--url", help="where the API is; by default where `run` last was, or PUBLIC_URL")
        parser.add_argument("--key", help="the API key; by default EVENTSINKS_API_KEY, or the one `run` made")
        parser.add_argument("--name", help="send an alert with this name")
        parser.add_argument("--severity", default="High", help=f"with --name: {', '.join(SEVERITIES)}")
        parser.add_argument("--file", help="send what it holds: an alert, an array, or one alert a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Post, and print the answer. Raises CommandError for an error."""
        known = read_credentials() or Credentials("", "")
        url = (options["url"] or known.url or settings.PUBLIC_URL).rstrip("/")
        key = options["key"] or os.environ.get("EVENTSINKS_API_KEY") or known.api_key
        if not key:
            raise CommandError("no API key: give --key, or set EVENTSINKS_API_KEY")
        body = read_body(options)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": choose_content_type(body)}
        try:
            answer = direct.post(f"{url}/v1/detection_alert", data=body, headers=headers, timeout=PATIENCE)
        except requests.RequestException as error:
            raise CommandError(f"{url} can't be reached: {error}") from None
        if not answer.ok:
            raise CommandError(f"{url} answered {answer.status_code}: {answer.text}")
        self.stdout.write(answer.text)


def read_body(options: dict[str, Any]) -> bytes:
    """Return the body to send. Raises CommandError for a file that can't be read."""
    if options["name"]:
        return json.dumps({"name": options["name"], "severity": options["severity"]}).encode()
    if options["file"] in (None, "-"):
        return sys.stdin.buffer.read()
    try:
        return Path(options["file"]).read_bytes()
    except OSError as error:
        raise CommandError(f"can't read {options['file']}: {error.strerror}") from None


def choose_content_type(body: bytes) -> str:
    """Return JSON's type, or that of one document a line if the body is not one document."""
    try:
        json.loads(body)
    except ValueError:
        return "application/x-ndjson" if b"\n" in body.strip() else "application/json"
    return "application/json"
