"""Make a tenant, and print its id."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventsinks.actions.tenants import create_tenant


class Command(BaseCommand):
    """Make a tenant, and print its id."""

    help = "Makes a tenant and prints its id, and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name")
        parser.add_argument("--id", type=uuid.UUID, help="a UUID of your choice; a new one by default")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the tenant. Raises CommandError if the id is taken."""
        try:
            tenant = create_tenant(options["name"], options["id"])
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(str(tenant.id))
