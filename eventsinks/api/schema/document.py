"""The parts of the schema that no view has: its tags, and the paths that need no key."""

from __future__ import annotations

from typing import Any

from eventsinks.api.health import OPERATIONS
from eventsinks.api.schema.examples import find_example, put_example
from eventsinks.api.schema.resources import RESOURCES


def complete_document(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Return the schema with the paths of health, and with its tags in order."""
    tag = RESOURCES["health"].tag
    for path, operation in OPERATIONS.items():
        told = {**operation, "tags": [tag], "security": []}
        put_example(told, path, find_example("health", operation["operationId"]))
        result["paths"][path] = {"get": told}
    result["tags"] = [{"name": one.tag, "description": one.description} for one in RESOURCES.values()]
    return result
