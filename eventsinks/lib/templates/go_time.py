"""Times in Go's layouts: a layout writes the moment `Mon Jan 2 15:04:05 MST 2006` in the wanted form.

https://pkg.go.dev/time#pkg-constants
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class GoTime:
    """A moment, exact to the nanosecond, in its original offset. `text` is RFC 3339."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = datetime.fromisoformat(re.sub(r"\.\d+", "", text))
        fraction = re.search(r"\.(\d{1,9})", text)
        self.fraction = (fraction[1] if fraction else "").ljust(9, "0")

    def __str__(self) -> str:
        return self.text

    @property
    def nanoseconds(self) -> int:
        """The Unix time in nanoseconds."""
        return int(self.at.timestamp()) * 1_000_000_000 + int(self.fraction)

    def format(self, layout: str) -> str:
        """Return the moment in the form of `layout`. Other text in the layout stays as it is."""
        return PART.sub(lambda found: self._part(found[0]), layout)

    def _part(self, part: str) -> str:
        if part[0] in ".,":
            digits = self.fraction[: len(part) - 1]
            digits = digits if part[1] == "0" else digits.rstrip("0")
            return part[0] + digits if digits else ""
        return WRITERS[part](self.at)


def write_offset(at: datetime, colon: str, minutes: bool = True, zulu: bool = False) -> str:
    """Return the offset from UTC: `+02:00`, `+0200` or `+02`. With `zulu`, return `Z` for no offset."""
    distance = at.utcoffset() or timedelta()
    if zulu and not distance:
        return "Z"
    total = abs(int(distance.total_seconds())) // 60
    sign = "-" if distance < timedelta() else "+"
    return f"{sign}{total // 60:02}" + (f"{colon}{total % 60:02}" if minutes else "")


def write_zone(at: datetime) -> str:
    """Return `UTC` or the offset: a written moment names no zone."""
    return write_offset(at, "") if at.utcoffset() else "UTC"


WRITERS: dict[str, Callable[[datetime], str]] = {
    "January": lambda at: MONTHS[at.month - 1],
    "Jan": lambda at: MONTHS[at.month - 1][:3],
    "Monday": lambda at: DAYS[at.weekday()],
    "Mon": lambda at: DAYS[at.weekday()][:3],
    "MST": write_zone,
    "2006": lambda at: f"{at.year:04}",
    "06": lambda at: f"{at.year % 100:02}",
    "002": lambda at: f"{at.timetuple().tm_yday:03}",
    "__2": lambda at: f"{at.timetuple().tm_yday:3}",
    "01": lambda at: f"{at.month:02}",
    "02": lambda at: f"{at.day:02}",
    "_2": lambda at: f"{at.day:2}",
    "15": lambda at: f"{at.hour:02}",
    "03": lambda at: f"{(at.hour % 12) or 12:02}",
    "04": lambda at: f"{at.minute:02}",
    "05": lambda at: f"{at.second:02}",
    "PM": lambda at: "AM" if at.hour < 12 else "PM",
    "pm": lambda at: "am" if at.hour < 12 else "pm",
    "Z07:00": lambda at: write_offset(at, ":", zulu=True),
    "Z0700": lambda at: write_offset(at, "", zulu=True),
    "Z07": lambda at: write_offset(at, "", minutes=False, zulu=True),
    "-07:00": lambda at: write_offset(at, ":"),
    "-0700": lambda at: write_offset(at, ""),
    "-07": lambda at: write_offset(at, "", minutes=False),
    "1": lambda at: str(at.month),
    "2": lambda at: str(at.day),
    "3": lambda at: str((at.hour % 12) or 12),
    "4": lambda at: str(at.minute),
    "5": lambda at: str(at.second),
}
# The longest comes first. As in Go, a digit must not follow a fraction.
PART = re.compile(
    r"[.,](?:0{1,9}|9{1,9})(?!\d)|" + "|".join(map(re.escape, sorted(WRITERS, key=len, reverse=True)))
)
