"""An example of each operation: a request and the answer. Each is a file in examples/RESOURCE.

tests/api/schema/test_examples.py sends each request and compares the answer; `GOLDEN=write` updates them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

EXAMPLES = Path(__file__).parent / "examples"
Example = dict[str, Any]


def find_example(resource: str, operation_id: str) -> Example:
    """Return the example of an operation. It is empty if there is none."""
    path = find_file(resource, operation_id)
    return cast(Example, orjson.loads(path.read_bytes())) if path.exists() else {}


def find_file(resource: str, operation_id: str) -> Path:
    """Return the file with the example of an operation."""
    return EXAMPLES / resource / f"{operation_id.removeprefix(resource + '_')}.json"


def put_example(operation: dict[str, Any], template: str, example: Example) -> None:
    """Put the parts of an example into the schema: parameters, body and answer."""
    if not example:
        return
    given = read_parameters(template, example["request"]["path"])
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in given:
            value = given[parameter["name"]]
            parameter["example"] = str(value) if parameter["schema"].get("type") == "string" else value
    if "body" in example["request"]:
        operation["requestBody"]["content"]["application/json"]["example"] = example["request"]["body"]
    for content in operation["responses"]["200"].get("content", {}).values():
        content["example"] = example["response"]


def read_parameters(template: str, path: str) -> dict[str, Any]:
    """Return the parameters of a path and its query by their names."""
    parts = urlsplit(path)
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(template))
    found = re.fullmatch(pattern, parts.path)
    inside = {name: unquote(value) for name, value in found.groupdict().items()} if found else {}
    given = {**inside, **dict(parse_qsl(parts.query))}
    return {name: int(value) if value.isdecimal() else value for name, value in given.items()}
