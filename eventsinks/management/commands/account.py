"""Prove that everything accepted for event sinks is delivered, pending, failed or suppressed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventsinks.models import Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.sweeping.account import audit_account


class Command(BaseCommand):
    """`manage.py account [TENANT] [--hours N]`. It exits with 1 if something is missing."""

    help = "Count what was accepted for event sinks and what became of it; fail where the two differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments: a tenant's id, and a number of hours."""
        parser.add_argument("tenant", nargs="?", help="the id of one tenant; all of them without it")
        parser.add_argument("--hours", type=float, help="only what came in so many hours")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the account."""
        tenant = None
        if options["tenant"]:
            try:
                tenant = Tenant.objects.get(id=options["tenant"])
            except (Tenant.DoesNotExist, ValueError):
                raise CommandError(f"there is no tenant {options['tenant']}") from None
        since = read_database_clock() - timedelta(hours=options["hours"]) if options["hours"] else None
        found = audit_account(tenant, since)
        for name in ("accepted", "delivered", "pending", "failed", "suppressed", "unaccounted"):
            self.stdout.write(f"{name:>12} {getattr(found, name):>12,}")
        if not found.balances:
            self.stderr.write(f"{found.unaccounted} deliveries are not what was accepted")
            sys.exit(1)
        self.stdout.write("It balances.")
