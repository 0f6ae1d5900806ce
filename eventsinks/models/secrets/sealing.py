"""Sealing: secrets in columns, each for its row alone, and the canary that tells whether the keys are right.

Texts that the first version sealed are bound to no row. After an upgrade its processes may still run, and could
open nothing that is; so until somebody says that they are gone (`reencrypt`), secrets are sealed as it did.
"""

from __future__ import annotations

import functools
import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from eventsinks.lib.secrets.crypto import CannotOpen, SecretBox

SUNG = "the right key"  # what the canary says
FACTORS = "mfa_authenticator.data"  # what second factors are bound to


class WrongKeys(Exception):
    """EVENTSINKS_ENCRYPTION_KEYS are not the keys of this database. The message names keys by their ids."""


class Binding(models.TextChoices):
    """Whether secrets are bound to their rows."""

    UNBOUND = "unbound", "Unbound"  # sealed as the first version did, both are opened
    BINDING = "binding", "Binding"  # sealed for their rows, both are opened
    BOUND = "bound", "Bound"  # sealed for their rows, nothing else is opened


class Canary(models.Model):
    """The one row by which a wrong key is known before it does harm."""

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
    """Return the box of the current settings."""
    return _box(tuple(settings.EVENTSINKS_ENCRYPTION_KEYS))


def make_place(row: Any, column: str) -> str:
    """Return what a secret in this column of this row is bound to. Nothing of it ever changes."""
    return f"{row._meta.db_table}.{column}|{getattr(row, 'uuid', row.pk)}|{row.tenant_id or ''}"


def seal(text: str, row: Any, column: str) -> str:
    """Encrypt `text` for being kept in a column of a row. Raises WrongKeys."""
    canary = read_canary()
    if canary is not None and canary.binding == Binding.UNBOUND:
        return get_box().seal_unbound(text)
    return get_box().seal(text, make_place(row, column))


def open_sealed(row: Any, column: str) -> str:
    """Decrypt what is in a column of a row. Raises lib.crypto.CannotOpen."""
    sealed, place = getattr(row, column), make_place(row, column)
    try:
        return get_box().open(sealed, place)
    except CannotOpen:
        if not Canary.objects.exclude(binding=Binding.BOUND).exists():
            raise
    return get_box().open(sealed, place, unbound=True)


def seal_factor(text: str) -> str:
    """Encrypt a secret of a second factor. allauth says nothing of its row: it is bound to the table."""
    return get_box().seal(text, FACTORS)


def open_factor(sealed: str) -> str:
    """Decrypt what `seal_factor` made. Raises lib.crypto.CannotOpen."""
    return get_box().open(sealed, FACTORS)


def read_canary() -> Canary | None:
    """Return the canary, None where there is none yet. Raises WrongKeys where it can't be opened."""
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
    """Make the canary, sealed with the newest key, or seal the one that there is anew; nothing it says is lost."""
    canary, _ = Canary.objects.get_or_create(id=1, defaults={"sealed": ""})
    canary.sealed = get_box().seal(SUNG, make_place(canary, "sealed"))
    canary.save(update_fields=["sealed"])
    return canary
