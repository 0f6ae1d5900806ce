"""Make an API key, and print its text."""

from __future__ import annotations

import argparse
import uuid
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventsinks.actions.tenants import issue_key
from eventsinks.lib.moments import read_time
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import SCOPES, Tenant


class Command(BaseCommand):
    """Make an API key, and print its text."""

    help = "Makes an API key and prints it, and nothing else. It can't be had again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("tenant", nargs="?", help="its id, or its name where only one has that name")
        parser.add_argument("--operator", action="store_true", help="a key that manages tenants and keys")
        parser.add_argument("--scopes", help=f"comma-separated; all by default: {', '.join(SCOPES)}")
        parser.add_argument("--name", default="", help="what it is for")
        parser.add_argument(
            "--expires", type=read_moment, help="when it ends, in ISO 8601; in UTC if it does not say"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it. Raises CommandError for a tenant or a scope that there is not."""
        if bool(options["tenant"]) is options["operator"]:
            raise CommandError("name a tenant, or say --operator")
        tenant = None if options["operator"] else find_tenant(options["tenant"])
        scopes = options["scopes"] and [scope.strip() for scope in options["scopes"].split(",")]
        try:
            _, text = issue_key(tenant, scopes=scopes, name=options["name"], expires_at=options["expires"])
        except (ValueError, LimitReached) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(text)


def read_moment(text: str) -> datetime:
    """Read a moment. Raises argparse.ArgumentTypeError."""
    try:
        return read_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid moment value: {text!r}") from None


def find_tenant(text: str) -> Tenant:
    """Return the tenant with this id or name. Raises CommandError unless there is exactly one."""
    try:
        found = Tenant.objects.filter(id=uuid.UUID(text))
    except ValueError:
        found = Tenant.objects.filter(name=text)
    try:
        return found.get()
    except Tenant.DoesNotExist:
        raise CommandError(f"there is no tenant {text!r}") from None
    except Tenant.MultipleObjectsReturned:
        raise CommandError(f"more than one tenant is called {text!r}; give its id") from None
