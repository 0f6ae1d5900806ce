"""The schema says enough of every operation: what it does, under which name, with which shapes and examples."""

from __future__ import annotations

import jsonschema_rs
import pytest
from django.test import Client

from eventsinks.api.schema.examples import EXAMPLES
from eventsinks.api.schema.resources import RESOURCES

SHARED_ERRORS = {400, 401, 403, 404, 409, 410, 412, 413, 415, 422, 429, 503}


@pytest.fixture(scope="module")
def document():
    return Client().get("/schema", headers={"Accept": "application/json"}).json()


@pytest.fixture(scope="module")
def operations(document):
    """Return every operation by its id."""
    return {one["operationId"]: one for path in document["paths"].values() for one in path.values()}


def answer_of(operation):
    return next(iter(operation["responses"]["200"]["content"].values()))


def body_of(operation):
    return operation.get("requestBody", {}).get("content", {}).get("application/json", {})


def follow(document, schema):
    """Return what a reference refers to."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def walk(document, schema, seen, path=""):
    """Yield every schema inside of one, each component once, with the path to it."""
    reference = schema.get("$ref")
    if reference in seen:
        return
    seen.add(reference) if reference else None
    schema = follow(document, schema)
    yield path, schema
    for name, inside in schema.get("properties", {}).items():
        yield from walk(document, inside, seen, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from walk(document, schema[key], seen, f"{path}[]")
    for inside in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
        if set(inside) != {"required"}:
            yield from walk(document, inside, seen, path)


def test_every_operation_has_a_short_summary_a_description_and_a_tag_that_is_described(document, operations):
    described = {one["name"] for one in document["tags"] if one["description"]}
    for id, operation in operations.items():
        assert 0 < len(operation["summary"]) <= 60, id
        assert operation["summary"][0].isupper(), id
        assert not operation["summary"].endswith("."), id
        assert operation["description"].endswith("."), id
        assert len(operation["tags"]) == 1, id
        assert set(operation["tags"]) <= described, id


def test_every_operation_has_an_example_of_its_answer_and_of_its_body(operations):
    for id, operation in operations.items():
        assert "example" in answer_of(operation), id
        assert "example" in (body_of(operation) or {"example"}), id


def test_every_id_in_a_path_has_an_example_and_a_meaning(operations):
    for id, operation in operations.items():
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (id, parameter["name"])
            assert "example" in parameter or parameter["in"] != "path", (id, parameter["name"])


def test_every_example_is_of_an_operation(operations):
    files = {f"{path.parent.name}_{path.stem}" for path in EXAMPLES.rglob("*.json")}
    assert files == set(operations)


def test_operation_ids_are_unique_and_begin_with_the_resource_of_their_tag(document):
    ids = [(one["operationId"], one["tags"][0]) for path in document["paths"].values() for one in path.values()]
    assert len({id for id, _ in ids}) == len(ids) == 65
    resources = {one.tag: name for name, one in RESOURCES.items()}
    for id, tag in ids:
        resource, verb = resources[tag], id.removeprefix(resources[tag] + "_")
        assert id == f"{resource}_{verb}"
        assert verb.replace("_", "").isalpha(), id
        assert verb not in ("retrieve", "destroy"), id


def test_no_operation_answers_an_untyped_object_or_a_field_without_a_meaning(document, operations):
    for id, operation in operations.items():
        for path, schema in walk(document, answer_of(operation)["schema"], set()):
            assert set(schema) & {"type", "anyOf", "oneOf", "allOf", "enum", "const"}, (id, path)
            if schema.get("type") == "object":
                assert "properties" in schema or "additionalProperties" in schema, (id, path)
                assert schema.get("additionalProperties") is not True or "properties" in schema, (id, path)
            for name, field in schema.get("properties", {}).items():
                assert field.get("description"), (id, path, name)


def test_an_error_is_told_once_for_each_api(document, operations):
    for id, operation in operations.items():
        if operation["tags"] == ["Health"]:
            continue
        errors = {code: one for code, one in operation["responses"].items() if code != "200"}
        assert {401, 403, 429, 503} <= set(map(int, errors)) <= SHARED_ERRORS, id
        for code, error in errors.items():
            assert set(error) == {"$ref"}, (id, code)
            assert error["$ref"].rpartition("/")[2] in document["components"]["responses"], (id, code)
    shapes = {
        name: one["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for name, one in document["components"]["responses"].items()
    }
    assert {shape for name, shape in shapes.items() if name.startswith("V1")} == {"ErrorResponse"}
    assert {shape for name, shape in shapes.items() if name.startswith("NetBird")} == {"ErrorBody"}


def test_a_body_is_required_unless_the_operation_goes_without(operations):
    optional = {
        id for id, one in operations.items() if "requestBody" in one and not one["requestBody"]["required"]
    }
    assert optional == {
        "event_sink_resume",
        "event_sink_test",
        "event_sink_rotate_secret",
        "integration_rotate_secret",
        "silence_preview",
    }


def test_nothing_that_may_be_absent_has_a_default_that_makes_generated_types_ask_for_it(document):
    for name, component in document["components"]["schemas"].items():
        for path, schema in walk(document, component, set()):
            assert "default" not in schema, (name, path)


def test_every_example_fits_its_schema(document, operations):
    for id, operation in operations.items():
        for content in filter(None, (answer_of(operation), body_of(operation), *operation.get("parameters", ()))):
            if "example" in content:
                fits = jsonschema_rs.validator_for({**document, **content["schema"]}, validate_formats=True)
                problems = [f"{one.instance_path}: {one.message}" for one in fits.iter_errors(content["example"])]
                assert not problems, (id, problems)


def test_the_document_says_how_to_authenticate_where_it_is_served_and_under_which_licence(document):
    assert "Authorization: Bearer" in document["info"]["description"]
    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert document["servers"] == [{"url": "/", "description": "This server"}]
