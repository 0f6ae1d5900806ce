"""Nearness: which files of tests are likely to notice what is broken in a module, by who imports whom."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

FOLDERS = ("eventsinks", "project", "tests")
MOST = 10  # files of tests that are asked about one module


@functools.cache
def nearest(top: Path, module: Path) -> list[str]:
    """Return the files of tests nearest to a module, nearest first: of its own name, then by steps of imports."""
    imports = {
        file.relative_to(top): imported(top, file) for name in FOLDERS for file in (top / name).rglob("*.py")
    }
    steps = {module: 0}
    reached = [module]
    while reached:
        reached = [file for file, used in imports.items() if file not in steps and not used.isdisjoint(reached)]
        steps |= dict.fromkeys(reached, max(steps.values()) + 1)
    tests = [file for file in imports if file.name.startswith("test_") and "chaos" not in file.parts]
    area, name = module.parent.name, module.stem

    def nearness(file: Path) -> tuple[bool, int, bool, bool, str]:
        of_its_name = name.rstrip("s") in file.stem
        return not of_its_name, steps.get(file, 99), area not in file.parts, len(imports[file]) > 40, str(file)

    return [str(file) for file in sorted(tests, key=nearness)[:MOST]]


def imported(top: Path, file: Path) -> set[Path]:
    """Return the files of the project that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    paths = [Path(*name.split(".")) for name in names]
    found = [path.with_suffix(".py") for path in paths] + [path / "__init__.py" for path in paths]
    return {path for path in found if (top / path).is_file()}
