"""The table at the end of a run."""

from __future__ import annotations

from chaos.account import Verdict

WIDTH = 58


def write_table(name: str, verdict: Verdict) -> str:
    """Return the table of a run."""
    figures = dict(verdict.figures)
    harms = figures.pop("harms", {})
    assert isinstance(harms, dict)
    lines = [f"\n== {name}: what was done, and how often"]
    lines += [f"   {harm:{WIDTH}} {number:>8}" for harm, number in sorted(harms.items())]
    lines += [f"\n== {name}: what arrived             events    again  by one harm at most  unexplained"]
    lines += [
        f"   {place:30} {one.events:>8,} {one.again:>8,} {one.by_one_harm:>20,} {one.unexplained:>12,}"
        for place, one in verdict.places.items()
    ]
    lines += [f"\n== {name}: what came of it"]
    lines += [f"   {what:{WIDTH}} {write_figure(figure):>8}" for what, figure in figures.items()]
    lines += ["", *(f"   BROKEN: {broken}" for broken in verdict.broken)]
    return "\n".join(
        [*lines, f"   {name}: " + ("a promise is broken" if verdict.broken else "all promises are kept")]
    )


def write_figure(figure: object) -> str:
    """Return one figure."""
    if isinstance(figure, bool):
        return "yes" if figure else "no"
    if isinstance(figure, dict):
        return ", ".join(f"{name} {number:,}" for name, number in figure.items())
    return f"{figure:,}" if isinstance(figure, int) else str(figure)
