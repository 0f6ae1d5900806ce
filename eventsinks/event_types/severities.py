"""How bad it is, in OCSF's words and numbers: https://schema.ocsf.io/dictionary#severity_id."""

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
    """Return the name and the number, each filled from the other one; the name wins where both are given."""
    if isinstance(name, str) and name.capitalize() in SEVERITY_NUMBERS:
        named = name.capitalize()
        return named, SEVERITY_NUMBERS[named]
    known = SEVERITY_IDS.get(number, "Unknown") if type(number) is int else "Unknown"
    return known, SEVERITY_NUMBERS[known]
