"""Say what was accepted for event sinks, what became of it, and what the audit found missing."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from eventsinks.models import Finding, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.sweeping.account import read_account
from eventsinks.sweeping.auditing.walk import audit_all

MOST = 50  # findings that are printed


class Command(BaseCommand):
    """`manage.py account [TENANT] [--hours N] [--audit] [--dismiss]`. It exits with 1 if something is missing."""

    help = "Say what was accepted for event sinks and what became of it; fail if something is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments: a tenant's id, a number of hours, and what else to do."""
        parser.add_argument("tenant", nargs="?", help="the id of one tenant; all of them without it")
        parser.add_argument("--hours", type=float, help="only what came in so many hours")
        parser.add_argument("--audit", action="store_true", help="first compare the counts with all rows")
        parser.add_argument(
            "--dismiss", action="store_true", help="take note of what is missing: it is told no more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the account, and what is missing."""
        tenant = find_tenant(options["tenant"])
        findings = Finding.objects.filter(tenant_id=tenant.id) if tenant else Finding.objects.all()
        if options["audit"]:
            audit_all()
        if options["dismiss"]:
            self.stdout.write(f"{findings.dismiss()} findings are dismissed.")
        since = read_database_clock() - timedelta(hours=options["hours"]) if options["hours"] else None
        account = read_account(tenant, since)
        for name in ("accepted", "delivered", "pending", "failed", "suppressed", "unaccounted"):
            self.stdout.write(f"{name:>12} {getattr(account, name):>12,}")
        for one in findings.filter(dismissed_at=None)[:MOST]:
            self.stdout.write(f"{one.found_at:%Y-%m-%d %H:%M} {one.detail}")
        if not account.balances:
            self.stderr.write(f"{account.unaccounted} are missing; --dismiss takes note of them")
            sys.exit(1)
        self.stdout.write("It balances.")


def find_tenant(id: str | None) -> Tenant | None:
    """Return the tenant with this id, None if none is asked for. Raises CommandError."""
    try:
        return Tenant.objects.get(id=id) if id else None
    except (Tenant.DoesNotExist, ValueError):
        raise CommandError(f"there is no tenant {id}") from None
