"""Sealing: secrets in columns, each for its row alone, and the canary that shows whether the keys are right.

The first version sealed secrets without a row. After an upgrade its processes may still run, and could not open
secrets that are bound to a row. So secrets are sealed in the old way until somebody confirms (`reencrypt`) that
those are gone.
"""

from __future__ import annotations

import functools
import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from eventsinks.lib.secrets.crypto import CannotOpen, SecretBox

SUNG = "the right key"  # the canary's text
FACTORS = "mfa_authenticator.data"  # what second factors are bound to


class WrongKeys(Exception):
    """EVENTSINKS_ENCRYPTION_KEYS are not the keys of this database. The message names keys by their ids."""


class Binding(models.TextChoices):
    """Whether secrets are bound to their rows."""

    UNBOUND = "unbound", "Unbound"  # new ones are sealed in the old way; both kinds can be opened
    BINDING = "binding", "Binding"  # new ones are sealed for their rows; both kinds can be opened
    BOUND = "bound", "Bound"  # sealed for their rows; only this kind can be opened


class Canary(models.Model):
    """The one row that reveals a wrong key before it does harm."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    uuid = models.UUIDField(default=uuid.uuid4, editable=False)
    sealed = models.TextField(editable=False)
    binding = models.CharField(max_length=16, choices=Binding.choices, default=Binding.BOUND)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_id = None

    class Meta:
        verbose_name = "canary"
        verbose_name_plural = "canaries"

    def __str__(self) -> str:
        return self.binding


@functools.lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> SecretBox:
    return SecretBox(keys)


def get_box() -> SecretBox:
    """Return the secret box of the current settings."""
    return _box(tuple(settings.EVENTSINKS_ENCRYPTION_KEYS))


def make_place(row: Any, column: str) -> str:
    """Return the text that a secret in this column of this row is bound to. No part of it ever changes."""
    return f"{row._meta.db_table}.{column}|{getattr(row, 'uuid', row.pk)}|{row.tenant_id or ''}"


def seal(text: str, row: Any, column: str) -> str:
    """Encrypt `text` for a column of a row. Raises WrongKeys."""
    canary = read_canary()
    if canary is not None and canary.binding == Binding.UNBOUND:
        return get_box().seal_unbound(text)
    return get_box().seal(text, make_place(row, column))


def open_sealed(row: Any, column: str) -> str:
    """Decrypt the secret in a column of a row. Raises CannotOpen."""
    sealed, place = getattr(row, column), make_place(row, column)
    try:
        return get_box().open(sealed, place)
    except CannotOpen:
        if not Canary.objects.exclude(binding=Binding.BOUND).exists():
            raise
    return get_box().open(sealed, place, unbound=True)


def seal_factor(text: str) -> str:
    """Encrypt a secret of a second factor. allauth does not say its row, so it is bound to the table."""
    return get_box().seal(text, FACTORS)


def open_factor(sealed: str) -> str:
    """Decrypt a secret from `seal_factor`. Raises CannotOpen."""
    return get_box().open(sealed, FACTORS)


def read_canary() -> Canary | None:
    """Return the canary, None if there is none yet. Raises WrongKeys if it can't be opened."""
    canary = Canary.objects.first()
    if canary is not None:
        try:
            get_box().open(canary.sealed, make_place(canary, "sealed"))
        except CannotOpen as error:
            known = ", ".join(get_box().key_ids)
            raise WrongKeys(
                f"these are not the keys of this database: its canary is {error}; given are {known}"
            ) from None
    return canary


def make_canary() -> Canary:
    """Create the canary, sealed with the newest key, or seal the existing one again. Its text stays the same.

    The row is never there without its seal: another process may read it at once, and this one may die.
    """
    new = Canary(id=1)
    new.sealed = get_box().seal(SUNG, make_place(new, "sealed"))
    canary, made = Canary.objects.get_or_create(id=1, defaults={"uuid": new.uuid, "sealed": new.sealed})
    if not made:
        canary.sealed = get_box().seal(SUNG, make_place(canary, "sealed"))
        canary.save(update_fields=["sealed"])
    return canary
