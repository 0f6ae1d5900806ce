"""Charts: drawn on the server as SVG from the counts. Words say the same as the colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from eventsinks.models.counting import What
from eventsinks.models.counting.read import Sums, count_waiting
from eventsinks.models.counting.times import BOUNDS

HOURS = 24
WORDS = {"delivered": "delivered", "suppressed": "suppressed", "pending": "waiting", "failed": "failed"}
NARROW = 6  # units of one bar of a sparkline


def sum_hours(slots: Mapping[int, Sums], now: float) -> list[Sums]:
    """Return the sums of each of the last 24 hours, the oldest first."""
    hours: list[Sums] = [{} for _ in range(HOURS)]
    for slot, sums in slots.items():
        place = HOURS - 1 - int((now - slot) // 3600)
        if 0 <= place < HOURS:
            for what, n in sums.items():
                hours[place][what] = hours[place].get(what, 0) + n
    return hours


def count_states(hour: Sums) -> dict[str, int]:
    """Return the number in each state, from the bottom of a bar up."""
    return {state: count_waiting(hour) if state == "pending" else hour.get(state, 0) for state in WORDS}


def draw_stack(hours: Sequence[Sums]) -> SafeString:
    """Return a stacked chart: what was accepted in each hour, by what became of it."""
    most = max([hour.get(What.ACCEPTED, 0) for hour in hours] + [1])
    bars = []
    for place, hour in enumerate(hours):
        top = 120.0
        for state, n in count_states(hour).items():
            height = max(n, 0) * 118 / most
            top -= height
            if height:
                ago = HOURS - place
                words = f"{n:,} {WORDS[state]}, accepted {ago} to {ago - 1} hours ago"
                bars.append((place * 20 + 1, f"{top:.2f}", f"{height:.2f}", state, words))
    totals: Counter[str] = Counter()
    for hour in hours:
        totals.update(count_states(hour))
    said = ", ".join(f"{n:,} {WORDS[state]}" for state, n in totals.items())
    return format_html(
        '<svg class="es-chart" viewBox="0 0 480 120" preserveAspectRatio="none" role="img" aria-label="{}">'
        "{}</svg>",
        f"Accepted in the last 24 hours: {said}",
        format_html_join(
            "", '<rect x="{}" y="{}" width="18" height="{}" class="es-bar-{}"><title>{}</title></rect>', bars
        ),
    )


def draw_sparkline(hours: Sequence[Sums]) -> SafeString | str:
    """Return a small chart of what ended of 24 hours, and the share that was delivered."""
    ended = [tuple(max(hour.get(state, 0), 0) for state in ("delivered", "failed")) for hour in hours]
    good, bad = sum(one for one, _ in ended), sum(other for _, other in ended)
    if not good + bad:
        return "–"
    most = max(one + other for one, other in ended)
    bars = []
    for place, (one, other) in enumerate(ended):
        tall, short = [max(n * 16 / most, 2.0) if n else 0.0 for n in (one, other)]
        bars.append((place * NARROW, f"{16 - tall:.1f}", f"{tall:.1f}", "delivered"))
        bars.append((place * NARROW, f"{max(16 - tall - short, 0):.1f}", f"{short:.1f}", "failed"))
    said = f"Accepted in the last 24 hours: {good:,} delivered, {bad:,} failed"
    return format_html(
        '<span class="es-row es-tight"><svg class="es-strip" width="{}" height="16" role="img" aria-label="{}">'
        '<title>{}</title>{}</svg><span class="es-nowrap">{}</span></span>',
        HOURS * NARROW,
        said,
        said,
        format_html_join("", '<rect x="{}" y="{}" height="{}" width="5" class="es-bar-{}"/>', bars),
        write_share(good, good + bad),
    )


def write_share(part: int, whole: int) -> str:
    """Return a share in percent, never rounded up to 100 or down to 0."""
    percent = part * 100 / whole
    if part < whole and percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) or 1 < percent < 99 else f"{percent:.1f} %"


def find_percentile(sums: Sums, what: str, share: float) -> float | None:
    """Return the upper bound, in seconds, of the class in which the percentile is. None if nothing was counted.

    What is above all bounds is infinite.
    """
    classes = [max(sums.get(f"{what}{place}", 0), 0) for place in range(len(BOUNDS) + 1)]
    wanted, seen = share * sum(classes), 0
    if not wanted:
        return None
    for bound, n in zip((*BOUNDS, float("inf")), classes, strict=True):
        seen += n
        if seen >= wanted:
            return bound
    return None
