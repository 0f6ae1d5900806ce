"""Find what a package holds: one class a file, found by being there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any


def find_classes(package: str, kind: type[Any]) -> Iterator[type[Any]]:
    """Yield every concrete subclass of `kind` that a module of `package` defines, by module name."""
    path = importlib.import_module(package).__path__
    for module_info in sorted(pkgutil.iter_modules(path), key=lambda info: info.name):
        module = importlib.import_module(f"{package}.{module_info.name}")
        for value in vars(module).values():
            defined_here = inspect.isclass(value) and value.__module__ == module.__name__
            if defined_here and issubclass(value, kind) and not inspect.isabstract(value) and value is not kind:
                yield value


def make_instances(package: str, kind: type[Any]) -> Iterator[Any]:
    """Yield one instance of each class that `find_classes` finds."""
    for found in find_classes(package, kind):
        yield found()
