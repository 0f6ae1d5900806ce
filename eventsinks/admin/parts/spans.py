"""Spans: a form's field for a duration, as people write it: `10 min`."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from unfold import widgets

UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
WRITTEN = re.compile(r"(\d{1,9})\s*(s|min|m|h|d)", re.IGNORECASE | re.ASCII)


class SpanField(forms.CharField):
    """A duration. Its value is in seconds, None if the field is empty."""

    def __init__(self, **options: Any) -> None:
        widget = widgets.UnfoldAdminTextInputWidget(attrs={"placeholder": "10 min", "autocomplete": "off"})
        super().__init__(**{"widget": widget, "required": False, **options})

    def prepare_value(self, value: Any) -> Any:
        """Return seconds in the largest unit that is exact."""
        return write_seconds(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        """Return seconds. Raises ValidationError for a text that is not a duration."""
        text = super().clean(value)
        return read_seconds(text) if text else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the duration differs from the earlier one."""
        try:
            return bool(self.clean(data) != initial)
        except forms.ValidationError:
            return True


def read_seconds(text: str) -> int:
    """Return the seconds of `90 s`, `10 min`, `4 h` or `1 d`. Raises ValidationError."""
    found = WRITTEN.fullmatch(text.strip())
    if found is None:
        raise forms.ValidationError("Write a number and a unit: 30 s, 10 min, 4 h or 1 d.")
    unit = found[2].lower()
    return int(found[1]) * UNITS["min" if unit == "m" else unit]


def write_seconds(value: int) -> str:
    """Return seconds as an exact text for people."""
    unit = next(unit for unit, size in UNITS.items() if value % size == 0)
    return f"{value // UNITS[unit]} {unit}"
