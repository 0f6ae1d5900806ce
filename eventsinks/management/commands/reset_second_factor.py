"""Remove the second factors of an admin account: for a superuser who lost their own."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventsinks.actions.secrets.reset_second_factor import reset_second_factor


class Command(BaseCommand):
    """`manage.py reset_second_factor NAME`."""

    help = "Take the second factors of an account of the admin away; the password alone lets it in then."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the argument: the name of the account."""
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove the second factors."""
        person = User.objects.filter(username=options["username"]).first()
        if person is None:
            raise CommandError(f"there is no account {options['username']!r}")
        done = reset_second_factor(person, person)
        self.stdout.write("Reset." if done else "There was none.")
