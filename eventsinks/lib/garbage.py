"""Garbage: how often Python looks for it in the processes that run for long."""

from __future__ import annotations

import gc


def look_for_garbage_less() -> None:
    """Pass over the objects of the start, which live to the end, and look less often: little else is left over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
