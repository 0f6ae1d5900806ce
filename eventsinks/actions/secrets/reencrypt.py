"""Reencrypt: seals every stored secret with the newest key and for its row, so that an old key can be removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from django.db.models import Model, Q
from django.db.models.functions import Now

from eventsinks.lib.secrets.crypto import BOUND, CannotOpen
from eventsinks.lib.secrets.signing import make_secret
from eventsinks.models import Canary, Destination, SlackWorkspace
from eventsinks.models.secrets.sealing import (
    Binding,
    WrongKeys,
    get_box,
    make_canary,
    make_place,
    open_factor,
    read_canary,
    seal_factor,
)

SEALED: tuple[tuple[type[Model], str], ...] = (
    (Destination, "sealed_secrets"),
    (Destination, "sealed_signing_secret"),
    (Destination, "sealed_old_signing_secret"),
    (SlackWorkspace, "sealed_token"),
    (SlackWorkspace, "sealed_refresh_token"),
)
PAGE = 200  # rows of one query
GRACE = timedelta(days=1)  # after an upgrade; processes of the old version may run until then


@dataclass(slots=True)
class Reencrypted:
    """How many secrets were sealed again, how many were current already, and which could not be opened."""

    anew: int = 0
    current: int = 0
    lost: list[str] = field(default_factory=list)


def reencrypt(*, forget_lost: bool = False) -> Reencrypted:
    """Seal all secrets again. From then on, open only secrets that are bound to their rows. Raises WrongKeys.

    A secret that changes meanwhile keeps its change. If the process dies, some secrets are done and some are not;
    it may be run again. `forget_lost` deletes the secrets that no key opens; they must be entered again.
    """
    prove_keys(forget_lost=forget_lost)
    Canary.objects.filter(binding=Binding.UNBOUND).update(binding=Binding.BINDING)
    done = Reencrypted()
    for model, column in SEALED:
        for row in read_pages(model, column):
            seal_anew(row, column, done, forget_lost=forget_lost)
    reencrypt_factors(done)
    if not any(find_unbound(model, column).exists() for model, column in SEALED):
        Canary.objects.update(binding=Binding.BOUND)
    return done


def prove_keys(*, forget_lost: bool) -> None:
    """Seal the canary with the newest key. Raises WrongKeys if no key opens it, unless `forget_lost`."""
    try:
        read_canary()
    except WrongKeys:
        if not forget_lost:
            raise
    make_canary()


def read_pages(model: type[Model], column: str) -> Iterator[Any]:
    """Yield the rows with a secret in this column, one page at a time."""
    rows = model._default_manager.exclude(**{column: ""}).order_by("pk")
    page = list(rows[:PAGE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE])


def seal_anew(row: Any, column: str, done: Reencrypted, *, forget_lost: bool) -> None:
    """Seal one secret with the newest key for its row, unless it was changed since it was read."""
    sealed, place = getattr(row, column), make_place(row, column)
    try:
        text = get_box().open(sealed, place, unbound=True)
    except CannotOpen as error:
        done.lost.append(f"{row._meta.verbose_name} {row.pk}: {error}")
        if not forget_lost:
            return
        text = make_secret() if column == "sealed_signing_secret" else ""
    else:
        if get_box().is_current(sealed):
            done.current += 1
            return
    same = type(row)._default_manager.filter(pk=row.pk, **{column: sealed})
    done.anew += same.update(**{column: get_box().seal(text, place) if text else ""})


def find_unbound(model: type[Model], column: str) -> Any:
    """Return the rows whose secret was sealed by a current key but is bound to no row."""
    ours = Q()
    for id in get_box().key_ids:
        ours |= Q(**{f"{column}__startswith": f"{id}:"}) & ~Q(**{f"{column}__startswith": f"{id}:{BOUND}"})
    return model._default_manager.filter(ours)


def count_strangers() -> int:
    """Return how many secrets name a key that is not in EVENTSINKS_ENCRYPTION_KEYS."""
    count = 0
    for model, column in SEALED:
        rows = model._default_manager.exclude(**{column: ""})
        for id in get_box().key_ids:
            rows = rows.exclude(**{f"{column}__startswith": f"{id}:"})
        count += rows.count()
    return count


def finish_binding(*, at_once: bool = False) -> bool:
    """Bind the secrets that an upgrade left unbound, after GRACE or `at_once`. Return whether there were any."""
    left = Canary.objects.exclude(binding=Binding.BOUND)
    if not at_once:
        left = left.filter(created_at__lt=Now() - GRACE)
    if not left.exists():
        return False
    reencrypt()
    return True


def reencrypt_factors(done: Reencrypted) -> None:
    """Seal the secrets of second factors again. Each is in `secret` or `seed` of the factor's data."""
    for factor in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN).iterator():
        name = "secret" if "secret" in factor.data else "seed"
        if get_box().is_current(factor.data[name]):
            done.current += 1
            continue
        try:
            fresh = {**factor.data, name: seal_factor(open_factor(factor.data[name]))}
        except CannotOpen as error:
            done.lost.append(f"second factor {factor.pk}: {error}")
            continue
        done.anew += Authenticator.objects.filter(pk=factor.pk, data=factor.data).update(data=fresh)
