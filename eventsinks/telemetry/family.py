"""Family: the counts of all processes of one web server, whichever of them is asked.

They share one port, so that nobody can choose whom he asks. Each writes its page into a folder of theirs, once a
second and whenever it is asked; whoever is asked adds the pages up. What a process has counted that is gone
remains: a counter never goes back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

WRITE_EVERY = 1.0  # seconds
SHARED = ("process_start_time_seconds", "process_max_fds", "python_info")  # of which a sum would say nothing

_folder: Path | None = None


def join_family(folder: str, write_page: Callable[[], bytes]) -> None:
    """Write this process's page into `folder` from now on."""
    global _folder
    _folder = Path(folder)
    threading.Thread(target=write_often, args=(write_page,), name="metrics", daemon=True).start()


def write_often(write_page: Callable[[], bytes]) -> None:
    """Write the page every second, until the folder is gone."""
    with suppress(FileNotFoundError):
        while True:
            keep_page(write_page())
            time.sleep(WRITE_EVERY)


def keep_page(page: bytes) -> None:
    """Put this process's page into the folder: the whole of it, or nothing. Raises FileNotFoundError."""
    if _folder is None:
        return
    draft = _folder / f"{os.getpid()}.{threading.get_ident()}"
    draft.write_bytes(page)
    draft.replace(_folder / f"{os.getpid()}.page")


def join_pages(page: bytes) -> bytes:
    """Return this process's page with those of its siblings added, if it has any."""
    if _folder is None:
        return page
    keep_page(page)
    pages = list(read_pages(_folder))
    return page if len(pages) < 2 else generate_latest(Sum(pages))


def read_pages(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield each page, and whether its process lives."""
    for path in sorted(folder.glob("*.page")):
        yield path.read_text(), is_alive(int(path.stem))


def is_alive(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Sum(Collector):
    """The sum of pages. Of processes that are gone, only what only grows is added."""

    def __init__(self, pages: Iterable[tuple[str, bool]]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        """Yield each metric once."""
        families: dict[str, Metric] = {}
        values: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = {}
        for text, lives in self._pages:
            for found in text_string_to_metric_families(text):
                if not lives and found.type == "gauge":
                    continue
                families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                so_far = values.setdefault(found.name, {})
                for sample in found.samples:
                    key = sample.name, frozenset(sample.labels.items())
                    before = so_far.get(key, 0.0)
                    joined = max(before, sample.value) if found.name in SHARED else before + sample.value
                    so_far[key] = joined
        for name, family in families.items():
            for (sample_name, labels), value in values[name].items():
                family.add_sample(sample_name, dict(labels), value)
            yield family
