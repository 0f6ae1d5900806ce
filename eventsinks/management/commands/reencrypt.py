"""Seal every secret with the newest encryption key."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from eventsinks.actions.reencrypt import reencrypt


class Command(BaseCommand):
    """`manage.py reencrypt`; exits with 1 where a secret can't be opened with any key."""

    help = "Seals every secret that is kept with the newest of EVENTSINKS_ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what came of it."""
        done = reencrypt()
        self.stdout.write(f"{done.anew} sealed anew, {done.current} had the newest key.")
        for lost in done.lost:
            self.stderr.write(f"can't be opened: {lost}")
        if done.lost:
            sys.exit(1)
