"""The table: medians over the rounds, as text and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from bench.end_to_end.measure import Figures
from bench.end_to_end.rows import ROWS, Row

PARTS = ("web", "worker", "beat", "database", "broker")
OURS, PEER = "eventsinks", "Alertmanager"

# For each row and system, the figures of each round.
Found = dict[tuple[str, str], list[Figures]]


def summarise(found: Found, no_peer: str) -> list[dict[str, Any]]:
    """Return one dictionary a row: the medians, the ratio, and the figures of all rounds."""
    rows = [row for row in ROWS if (row.name, OURS) in found]
    return [summarise_row(row, found, no_peer) for row in rows]


def summarise_row(row: Row, found: Found, no_peer: str) -> dict[str, Any]:
    """Return the medians of one row. The ratio is the median of the ratios of each round."""
    ours, peer = found[row.name, OURS], found.get((row.name, PEER), [])
    besides = found.get((row.beside, OURS), []) if row.beside else []
    return {
        "row": row.name,
        "title": row.title,
        "ours": find_medians(ours),
        "peer": find_medians(peer) if peer else None,
        "no_peer": no_peer if row.peer and not peer else "",
        "ratio": find_ratio("per_cpu_s", ours, peer),
        "beside": row.beside,
        "cost_beside": find_ratio("total_us", ours, besides),
        "rounds": {"ours": ours, "peer": peer},
    }


def find_ratio(name: str, ours: Sequence[Figures], others: Sequence[Figures]) -> float | None:
    """Return the median of the ratios of each round, None if there is nothing to compare with."""
    pairs = zip(ours, others, strict=True) if others else ()
    ratios = [one[name] / other[name] for one, other in pairs]
    return statistics.median(ratios) if ratios else None


def find_medians(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure over the rounds."""
    return {name: find_median([figures[name] for figures in rounds]) for name in rounds[0]}


def find_median(values: Sequence[Any]) -> Any:
    """Return the median of numbers, or of each place in lists and dictionaries of numbers."""
    first = values[0]
    if isinstance(first, dict):
        return {name: statistics.median(value[name] for value in values) for name in first}
    if isinstance(first, list):
        return [statistics.median(places) for places in zip(*values, strict=True)]
    return statistics.median(values)


def write_table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the table as text."""
    costs = "".join(f"{part:>9}" for part in (*PARTS, "all"))
    heads = f"{'/CPU-s':>9}{'ratio':>14}{'in/s':>9}"
    lines = [
        f"{'':52}{costs}{heads}{'POST p50/p99':>16}{'received p50/p99':>20}{'commits':>9}{'commands':>9}",
        f"{'':52}{'µs of CPU for each, by part':>54}{'':32}{'ms':>16}{'ms':>20}{'each':>9}{'each':>9}",
    ]
    for row in rows:
        lines.append(write_line(row["title"], row["ours"], write_ratio(row)))
        if row["peer"]:
            lines.append(write_line("  Alertmanager", row["peer"], ""))
        elif row["no_peer"]:
            lines.append(f"  {row['no_peer']}")
    return "\n".join(lines)


def write_line(title: str, figures: Figures, ratio: str) -> str:
    """Return one line of the table."""
    costs = "".join(write_number(figures["cost_us"].get(part)) for part in PARTS)
    counts = "".join(write_number(figures.get(name), 2) for name in ("commits", "commands"))
    return (
        f"{title:52}{costs}{write_number(figures['total_us'])}{write_number(figures['per_cpu_s'])}"
        f"{ratio:>14}{write_number(figures['accepted_per_s'])}"
        f"{write_pair(figures['post_ms']):>16}{write_pair(figures['received_ms']):>20}{counts}"
    ).rstrip()


def write_ratio(row: dict[str, Any]) -> str:
    """Return how many times the peer's events a CPU-second does, or the cost beside another row's."""
    if row["cost_beside"]:
        return f"{row['cost_beside']:.2f}x {row['beside']}"
    return f"{row['ratio']:.3f}" if row["ratio"] else ""


def write_number(value: float | None, places: int = 0) -> str:
    """Return a number in a column, "-" if there is none."""
    if value is None:
        return f"{'-':>9}"
    return f"{value:>9,.{places if value < 100 and places else 0 if value >= 10 else 1}f}"


def write_pair(pair: Sequence[float]) -> str:
    """Return two numbers with a stroke between them, "-" if there are none."""
    return " / ".join(f"{value:,.1f}" if value < 100 else f"{value:,.0f}" for value in pair) or "-"
