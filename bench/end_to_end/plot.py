"""Draws what an event costs, by part and beside the peer, as SVG: `python -m bench.end_to_end.plot JSON FOLDER`.

JSON is a file that `bench.end_to_end --json` wrote. Each database becomes one picture. The rows with a rate, and
those of a tenant's features, are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.end_to_end.table import PARTS, PEER

DRAWN = ("one", "hundred", "ten", "audit", "flows", "s3")
COLOURS = dict(
    zip((*PARTS, PEER), ("#2563eb", "#0d9488", "#a3a3a3", "#d97706", "#be185d", "#525252"), strict=True)
)
NAMES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
LABELS, BARS, BAR, GAP = 330, 480, 16, 18  # pixels: width of the labels and bars, height of a bar and of a gap
HEAD = 56
STYLE = """text { font: 13px system-ui, sans-serif; fill: #404040 } .title { font-weight: 600; font-size: 15px }
.paper { fill: #ffffff }"""


def main() -> None:
    """Draw the pictures of one file of figures."""
    found, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for database, rows in found["databases"].items():
        drawn = [row for row in rows if row["row"] in DRAWN]
        (folder / f"cost-{database}.svg").write_text(draw(database, drawn))


def draw(database: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the picture of one database as the text of an SVG file."""
    bars = [bar for row in rows for bar in list_bars(row)]
    longest = max(sum(costs.values()) for _, costs in bars)
    height = HEAD + sum(BAR + (GAP if title else 4) for title, _ in bars) + GAP
    width = LABELS + BARS + 70
    title = f"CPU for each event on {NAMES[database]}, microseconds; less is better"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{title}</title><style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/><text class="title" x="12" y="22">{title}</text>',
        *draw_key(),
    ]
    y = HEAD
    for title, costs in bars:
        y += GAP if title else 4
        lines += draw_bar(title, costs, y, BARS / longest)
        y += BAR
    return "\n".join([*lines, "</svg>", ""])


def list_bars(row: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the title and the costs by part of each bar of a row: ours, and the peer's without a title."""
    yield row["title"], {part: row["ours"]["cost_us"].get(part, 0.0) for part in PARTS}
    if row["peer"]:
        yield "", {PEER: row["peer"]["total_us"]}


def draw_key() -> Iterator[str]:
    """Yield what each colour means."""
    for number, (name, colour) in enumerate(COLOURS.items()):
        x = 12 + number * 110
        yield f'<rect x="{x}" y="34" width="11" height="11" fill="{colour}"/>'
        yield f'<text x="{x + 16}" y="44">{name}</text>'


def draw_bar(title: str, costs: dict[str, float], y: int, scale: float) -> Iterator[str]:
    """Yield one bar at `y`, with `scale` pixels for each microsecond."""
    yield f'<text x="12" y="{y + 13}">{escape(title)}</text>'
    x = float(LABELS)
    for part, cost in costs.items():
        wide = cost * scale
        yield f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{BAR}" fill="{COLOURS[part]}"/>'
        x += wide
    yield f'<text x="{x + 6:.1f}" y="{y + 13}">{sum(costs.values()):,.0f}</text>'


if __name__ == "__main__":
    main()
