"""Reencrypt: seal every secret that is kept with the newest key, so that an old key may go."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Model

from eventsinks.lib.crypto import CannotOpen
from eventsinks.models import Destination, SlackWorkspace
from eventsinks.models.sealing import box, open_sealed, seal

SEALED: tuple[tuple[type[Model], str], ...] = (
    (Destination, "sealed_secrets"),
    (Destination, "sealed_signing_secret"),
    (Destination, "sealed_old_signing_secret"),
    (SlackWorkspace, "sealed_token"),
    (SlackWorkspace, "sealed_refresh_token"),
)


@dataclass(slots=True)
class Reencrypted:
    """How many secrets are sealed anew, how many had the newest key already, and which could not be opened."""

    anew: int
    current: int
    lost: list[str]


def reencrypt() -> Reencrypted:
    """Seal all of them anew. One that is changed meanwhile is left as it was changed: it has the newest key.

    Killed in between, it leaves some done and some not, and may be run again.
    """
    done = Reencrypted(0, 0, [])
    for model, column in SEALED:
        rows = model._default_manager.exclude(**{column: ""}).values_list("pk", column)
        for pk, sealed in rows.iterator():
            if box().is_current(sealed):
                done.current += 1
                continue
            try:
                fresh = seal(open_sealed(sealed))
            except CannotOpen as error:
                done.lost.append(f"{model._meta.verbose_name} {pk}: {error}")
                continue
            done.anew += model._default_manager.filter(pk=pk, **{column: sealed}).update(**{column: fresh})
    return done
