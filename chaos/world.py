"""The world that harms touch, and the record of what was done to it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaos.broker import Broker
from chaos.product import Product

SHORT = (0.3, 2.0)  # seconds that something stands still


@dataclass(slots=True)
class Done:
    """A harm that was done: when it began and ended, and how many deliveries were being sent after it."""

    name: str
    kills: int
    began: float
    ended: float = 0.0
    sending: int = 0
    forgets: bool = False  # whether the record of what was sent may be lost


@dataclass(slots=True)
class World:
    """What a harm may touch."""

    product: Product
    database: Any  # postgresql.Cluster or sqlite.File
    broker: Broker
    dice: random.Random
    may_fill: bool  # whether the disk of the database is a small one
    done: list[Done] = field(default_factory=list)

    def pause(self) -> None:
        """Wait as long as something may stand still."""
        time.sleep(self.dice.uniform(*SHORT))


Harm = Callable[[World], bool]  # returns whether it was done
