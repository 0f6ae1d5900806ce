"""Filter presets: filters that a form can make, and can show again as its fields."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from eventsinks.event_types.severities import SEVERITY_NUMBERS
from eventsinks.lib.filters.cel_text import quote, split_clauses

STRINGS = r'(\[(?:"(?:\\.|[^"\\])*"(?:, )?)+\])'
SEVERITY_CLAUSE = re.compile(r"severity_id >= (\d{1,2})")
TAGS_CLAUSE = re.compile(rf"tags\.exists\(tag, tag in {STRINGS}\)")
RULES_CLAUSE = re.compile(rf"\(detection_rule_id in {STRINGS} \|\| name in {STRINGS}\)")


@dataclass(frozen=True, slots=True)
class Preset:
    """Alerts with at least this severity, with one of these tags, and of one of these rules (ids or names)."""

    severity_at_least: str | None = None
    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


def make_filter(severity_at_least: str | None, tags: Sequence[str], rules: Sequence[str]) -> str:
    """Return the filter for alerts that match all arguments, "" for no arguments.

    Raises KeyError for the severity.

    Other is above all other severities: its number is 99. It is better to send an alert of unclear severity than
    to lose it.
    """
    found = []
    if severity_at_least:
        found.append(f"severity_id >= {SEVERITY_NUMBERS[severity_at_least]}")
    if tags:
        found.append(f"tags.exists(tag, tag in {write_strings(tags)})")
    if rules:
        found.append(f"(detection_rule_id in {write_strings(rules)} || name in {write_strings(rules)})")
    return " && ".join(found)


def read_filter(text: str) -> Preset | None:
    """Return the preset of a filter, None if `make_filter` can't have made it."""
    severity: str | None = None
    tags: list[str] = []
    rules: list[str] = []
    for clause in split_clauses(text):
        if found := SEVERITY_CLAUSE.fullmatch(clause):
            severity = next((name for name, number in SEVERITY_NUMBERS.items() if number == int(found[1])), None)
        elif found := TAGS_CLAUSE.fullmatch(clause):
            tags = read_strings(found[1])
        elif found := RULES_CLAUSE.fullmatch(clause):
            rules = read_strings(found[1])
    return Preset(severity, tuple(tags), tuple(rules)) if make_filter(severity, tags, rules) == text else None


def write_strings(given: Sequence[str]) -> str:
    """Return a list of CEL strings."""
    return f"[{', '.join(map(quote, given))}]"


def read_strings(given: str) -> list[str]:
    """Return the strings in a list, none if it is not one of ours."""
    try:
        return list(json.loads(given))
    except ValueError:
        return []
