"""Nearness: which files of tests are likely to notice what is broken, by who names it and who imports whom."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

FOLDERS = ("eventsinks", "project", "tests")
MOST = 10  # files of tests that are asked about one place
BY_URL = ("api", "admin")  # folders of tests that import nothing of what they ask for
URLS = Path("project/urls.py")


def nearest(top: Path, module: Path, name: str = "") -> list[str]:
    """Return the files of tests nearest to what has a name in a module, nearest first.

    First those that are named after it or the module, then those that say the name, then by steps of imports.
    """
    steps = steps_to(top, module)
    tests = [file for file in imports(top) if file.name.startswith("test_") and "chaos" not in file.parts]
    named_after = tuple(f"test_{one.rstrip('s')}" for one in (module.stem, name) if one)
    says = re.compile(rf"\b{name}\b") if name else None

    def nearness(file: Path) -> tuple[bool, bool, int, bool, str]:
        own = file.stem.startswith(named_after)
        said = bool(says and says.search((top / file).read_text("utf-8")))
        return not own, not said, steps.get(file, 99), module.parent.name not in file.parts, str(file)

    return [str(file) for file in sorted(tests, key=nearness)[:MOST]]


def steps_to(top: Path, module: Path) -> dict[Path, int]:
    """Return for each file that needs a module over how many imports it does."""
    steps = {module: 0}
    reached = {module}
    while reached:
        reached = {file for file, used in imports(top).items() if file not in steps and used & reached}
        steps |= dict.fromkeys(reached, max(steps.values()) + 1)
    return steps


@functools.cache
def imports(top: Path) -> dict[Path, set[Path]]:
    """Return the files of the project, each with those that it imports."""
    files = [file.relative_to(top) for name in FOLDERS for file in sorted((top / name).rglob("*.py"))]
    return {file: imported(top, file) for file in files}


def imported(top: Path, file: Path) -> set[Path]:
    """Return the files of the project that a file imports."""
    names = set()
    for node in ast.walk(ast.parse((top / file).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    paths = [Path(*name.split(".")) for name in names]
    found = [path.with_suffix(".py") for path in paths] + [path / "__init__.py" for path in paths]
    asked = {URLS} if file.parts[0] == "tests" and file.parts[1] in BY_URL else set()
    return asked | {path for path in found if (top / path).is_file()}
