"""Seal every secret with the newest encryption key."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventsinks.actions.secrets.reencrypt import reencrypt
from eventsinks.models.secrets.sealing import WrongKeys


class Command(BaseCommand):
    """`manage.py reencrypt`. It exits with 1 if no key opens one of the secrets."""

    help = "Seals every secret that is kept with the newest of EVENTSINKS_ENCRYPTION_KEYS, and for its row alone."
    requires_system_checks: list[str] = []  # it repairs what one of the checks refuses

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the argument that deletes lost secrets."""
        told = "remove the secrets that no key opens; the destinations are disabled until they are given again"
        parser.add_argument("--forget-lost", action="store_true", help=told)

    def handle(self, *args: Any, **options: Any) -> None:
        """Seal the secrets again, and print the result.

        Raises CommandError if the keys do not belong to this database.
        """
        try:
            done = reencrypt(forget_lost=options["forget_lost"])
        except WrongKeys as error:
            raise CommandError(f"EVENTSINKS_ENCRYPTION_KEYS: {error}") from None
        self.stdout.write(f"{done.anew} sealed anew, {done.current} had the newest key.")
        for lost in done.lost:
            self.stderr.write(f"can't be opened: {lost}")
        if done.lost and not options["forget_lost"]:
            sys.exit(1)
