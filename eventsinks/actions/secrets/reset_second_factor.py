"""Reset second factor: removes the second factors of an admin account, and records who did it."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction


def reset_second_factor(person: User, by: User) -> bool:
    """Remove a person's second factors: the password alone is enough then. Return False if there were none."""
    with transaction.atomic():
        if not Authenticator.objects.filter(user=person).delete()[0]:
            return False
        note_reset(person, by, "Second factor reset.")
    return True


def note_reset(person: Any, by: Any, what: str) -> None:
    """Record in an account's history what was done to its second factors."""
    LogEntry.objects.log_actions(by.pk, [person], CHANGE, change_message=what, single_object=True)
