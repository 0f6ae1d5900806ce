"""Discovery: finds the classes of a package. Each file defines one class, and no list names them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any


def find_classes(package: str, kind: type[Any]) -> Iterator[type[Any]]:
    """Yield each concrete subclass of `kind` that a module of `package` defines, in the order of module names."""
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
