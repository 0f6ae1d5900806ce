"""The schema of a pydantic model, for requests and for answers."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.contrib.pydantic import PydanticExtension
from drf_spectacular.plumbing import ResolvedComponent
from pydantic.json_schema import JsonSchemaMode, model_json_schema

REF = "#/components/schemas/{model}"


class ModelExtension(PydanticExtension):  # type: ignore[no-untyped-call]
    """Makes the schema of a model. Each model in it becomes its own component."""

    priority = 1  # before the one that it extends

    def map_serializer(self, auto_schema: Any, direction: str) -> Any:
        """Return the schema of the model, and register the models that it refers to."""
        mode: JsonSchemaMode = "validation" if direction == "request" else "serialization"
        schema = simplify_schema(model_json_schema(self.target, ref_template=REF, mode=mode))
        for name, inside in schema.pop("$defs", {}).items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, inside, name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        return schema


def simplify_schema(schema: Any) -> Any:
    """Return a schema without titles that only repeat names. Descriptions name the defaults.

    Generators of clients require each field that has a default. They would refuse `{"name": "x"}`.
    """
    if isinstance(schema, list):
        return [simplify_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told: dict[str, Any] = {
        key: {name: simplify_schema(one) for name, one in inside.items()}
        if key in ("properties", "$defs")
        else inside
        if key in ("enum", "const", "required", "example", "examples")
        else simplify_schema(inside)
        for key, inside in schema.items()
        if key not in ("title", "default")
    }
    if schema.get("default") is not None:
        text = f"Default: {write_value(schema['default'])}."
        told["description"] = f"{end_sentence(schema.get('description', ''))} {text}".strip()
    return told


def write_value(value: Any) -> str:
    """Return a default as JSON."""
    return f"`{json.dumps(value)}`"


def end_sentence(text: str) -> str:
    """Return a text with a full stop at its end."""
    return text if not text or text.endswith((".", "?", "!")) else f"{text}."
