"""Run everything on this machine until Ctrl-C."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventsinks.management.broker import NoServer
from eventsinks.management.first_start import ADMIN, Credentials, get_credentials
from eventsinks.management.processes import Fallen, Interrupted
from eventsinks.management.system import System


class Command(BaseCommand):
    """Run everything on this machine until Ctrl-C."""

    help = "Runs everything (web server, worker, beat, and a broker unless REDIS_URL is set) until Ctrl-C."
    requires_system_checks: list[str] = []  # it runs the checks while the web server starts

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, announce, serve, and stop. Raises CommandError if a process ends by itself."""
        try:
            system = System()
        except OSError as error:
            raise CommandError(str(error)) from None
        try:
            system.start()
            self.stdout.write(write_announcement(system.url, get_credentials(system.url)))
            self.stdout.flush()
            system.family.watch()
        except Interrupted:
            pass
        except (Fallen, NoServer) as error:
            raise CommandError(str(error)) from None
        finally:
            system.stop()
        self.stdout.write("Stopped.")


def write_announcement(url: str, known: Credentials) -> str:
    """Return the text that a person needs to begin."""
    person = f"{ADMIN} / {known.admin_password}" if known.admin_password else "sign in as your own user"
    return f"""
eventsinks is ready. Ctrl-C stops it.

  API      {url}
  Docs     {url}/docs
  Admin    {url}/admin/   {person}
  Tenant   {known.tenant_id}
  API key  {known.api_key}

Send a detection alert:

  curl {url}/v1/detection_alert \\
    -H 'Authorization: Bearer {known.api_key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"name": "Root login from a new country", "severity": "High"}}'
"""
