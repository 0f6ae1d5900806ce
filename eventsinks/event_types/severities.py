"""Severities: OCSF's names and numbers, https://schema.ocsf.io/dictionary#severity_id."""

from __future__ import annotations

SEVERITY_NUMBERS = {
    "Unknown": 0,
    "Informational": 1,
    "Low": 2,
    "Medium": 3,
    "High": 4,
    "Critical": 5,
    "Fatal": 6,
    "Other": 99,
}
SEVERITY_IDS = {number: name for name, number in SEVERITY_NUMBERS.items()}


def read_severity(name: object, number: object) -> tuple[str, int]:
    """Return name and number, each derived from the other if it is missing. The name wins over the number."""
    if isinstance(name, str) and name in SEVERITY_NUMBERS:
        return name, SEVERITY_NUMBERS[name]
    if isinstance(name, str) and name.capitalize() in SEVERITY_NUMBERS:
        named = name.capitalize()
        return named, SEVERITY_NUMBERS[named]
    known = SEVERITY_IDS.get(number, "Unknown") if type(number) is int else "Unknown"
    return known, SEVERITY_NUMBERS[known]
