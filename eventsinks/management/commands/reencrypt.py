"""Seal every secret with the newest encryption key."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventsinks.actions.secrets.reencrypt import reencrypt
from eventsinks.models.secrets.sealing import WrongKeys


class Command(BaseCommand):
    """`manage.py reencrypt`; exits with 1 where a secret can't be opened with any key."""

    help = "Seals every secret that is kept with the newest of EVENTSINKS_ENCRYPTION_KEYS, and for its row alone."
    requires_system_checks: list[str] = []  # it repairs what one of them refuses

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what may be forgotten."""
        told = "take away what no key opens: destinations without their secrets park until these are given again"
        parser.add_argument("--forget-lost", action="store_true", help=told)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what came of it. Raises CommandError where the keys are not this database's."""
        try:
            done = reencrypt(forget_lost=options["forget_lost"])
        except WrongKeys as error:
            raise CommandError(f"EVENTSINKS_ENCRYPTION_KEYS: {error}") from None
        self.stdout.write(f"{done.anew} sealed anew, {done.current} had the newest key.")
        for lost in done.lost:
            self.stderr.write(f"can't be opened: {lost}")
        if done.lost and not options["forget_lost"]:
            sys.exit(1)
