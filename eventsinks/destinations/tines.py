"""Tines: the bare event as it was accepted, to a webhook of a story (https://www.tines.com/docs/actions/types/webhook).

The sink's own alert template adds keys, as for webhooks.
The path contains the webhook's secret, so it is a secret. Scanner's client reads the two fields of this type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from eventsinks.destinations.base import (
    Answers,
    Config,
    DestinationType,
    Meaning,
    Message,
    Secret,
)
from eventsinks.destinations.base.templated import make_body
from eventsinks.destinations.webhook import make_replay_headers
from eventsinks.lib.net.wire import Request

LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
PATH = re.compile(r"[A-Za-z0-9_-]{1,128}(/[A-Za-z0-9_-]{1,128}){0,3}")


# The webhook does not exist, or the secret is wrong: https://www.tines.com/docs/actions/types/webhook
NO_WEBHOOK, NOT_THIS = "there is no such webhook", "it does not take this event"
ANSWERS = Answers(
    "Tines",
    statuses={
        400: Meaning.REFUSED,
        403: Meaning.BROKEN,
        404: Meaning.BROKEN,
        413: Meaning.REFUSED,
        422: Meaning.REFUSED,
    },
    why={"400": NOT_THIS, "403": NO_WEBHOOK, "404": NO_WEBHOOK, "413": NOT_THIS, "422": NOT_THIS},
)


def check_path(path: SecretStr) -> SecretStr:
    """Raise ValueError unless `path` is the path of a webhook and nothing else."""
    if not PATH.fullmatch(path.get_secret_value()):
        raise ValueError("a path is what follows /webhook/: letters, digits, hyphens and underscores, and a slash")
    return path


class TinesConfig(Config):
    """The tenant of Tines, and the path of its webhook."""

    tines_tenant: str = Field(
        pattern=rf"^{LABEL}(\.{LABEL}){{0,2}}$",
        max_length=200,
        title="Tines tenant",
        description="What stands before .tines.com.",
    )
    path: Annotated[Secret, AfterValidator(check_path)] = Field(
        title="Path", description="What follows /webhook/ in the URL of the webhook."
    )

    def origins(self) -> set[Any]:
        """Return the tenant's origin: each tenant has its own host."""
        return {self.tines_tenant}


class Tines(DestinationType[TinesConfig]):
    """Post the event to a story."""

    key: ClassVar[str] = "tines"
    label: ClassVar[str] = "Tines"
    face = "event_sink"
    Config = TinesConfig
    answers = ANSWERS
    example: ClassVar[Mapping[str, Any]] = {"tines_tenant": "example", "path": "example/0"}

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message."""
        (message,) = messages
        url = f"https://{self.target()}/webhook/{self.config.path.get_secret_value()}"
        return Request(
            "POST", url, (("Content-Type", "application/json"), *make_replay_headers(message)), make_body(message)
        )

    def target(self) -> str:
        """Return the host."""
        return f"{self.config.tines_tenant}.tines.com"
