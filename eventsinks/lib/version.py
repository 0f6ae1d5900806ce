"""The version of eventsinks, as pyproject.toml says it."""

from __future__ import annotations

import tomllib
from pathlib import Path

with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
    VERSION: str = tomllib.load(file)["project"]["version"]
