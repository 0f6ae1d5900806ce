"""The schema of one operation: from the resource, verb, scope and docstring of its view."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from eventsinks.api.authentication import get_scope
from eventsinks.api.schema.examples import find_example, put_example
from eventsinks.api.schema.resources import RESOURCES
from eventsinks.models.tenant import OPERATOR

VERBS = {"retrieve": "get", "destroy": "delete"}  # what a view set calls otherwise
ALWAYS = (401, 403, 429, 503)
OF_A_BODY = (400, 413, 415)
ORDER = ["operationId", "summary", "description", "tags", "parameters", "requestBody", "security", "responses"]
RETRY_AFTER = {"description": "After how many seconds to come again.", "schema": {"type": "integer"}}


class Operation(AutoSchema):
    """One operation. Its view is a V1View or a NetBirdView, which have the fields that it reads."""

    view: Any

    def get_operation_id(self) -> str:
        """Return `resource_verb`."""
        verb = getattr(self.view, "action", None) or self.view.verbs[self.method.lower()]
        return f"{self.view.resource}_{VERBS.get(verb, verb)}"

    def get_tags(self) -> list[str]:
        """Return the name of the resource."""
        return [RESOURCES[self.view.resource].tag]

    def get_summary(self) -> str:
        """Return the first sentence of the view's docstring."""
        return re.split(r"\.(?:\s|$)", join_lines(super().get_description()), maxsplit=1)[0]

    def get_description(self) -> str:  # type: ignore[override]
        """Return the view's docstring, and the scope that a key needs."""
        scope = get_scope(self.view, self.view.request)
        key = "an operator's key" if scope == OPERATOR else f"a key with the scope `{scope}`"
        return f"{join_lines(super().get_description())}\n\nNeeds {key}."

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        """Return the operation, with its errors by reference and its example."""
        operation = super().get_operation(*args)
        if operation is None:
            return None
        if "requestBody" in operation:
            operation["requestBody"]["required"] = operation["operationId"] not in self.view.without_body
        done, *told = operation["responses"]
        codes = sorted({*map(int, told), *self._choose_errors(operation)})
        errors = {str(code): self._refer_to_error(code) for code in codes}
        operation["responses"] = {done: {"description": "Done.", **operation["responses"][done]}, **errors}
        put_example(operation, self.path, find_example(self.view.resource, operation["operationId"]))
        return {name: operation[name] for name in sorted(operation, key=ORDER.index)}

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        """Return the parameters of the path. They are the id of the resource."""
        told = f"The id of the {self.view.resource.replace('_', ' ')}."
        fixed = {"in": "path", "required": True, "description": told, "schema": self.view.id_schema}
        return [{"name": name, **fixed} for name in variables]

    def _choose_errors(self, operation: dict[str, Any]) -> set[int]:
        """Return the common errors that this operation can have."""
        places = {parameter["in"] for parameter in operation.get("parameters", ())}
        found = {*ALWAYS, *self.view.errors_of_a_path} if "path" in places else {*ALWAYS}
        if "query" in places:
            found |= self.view.errors_of_a_query
        if any(parameter["name"] == "tenant_id" for parameter in operation.get("parameters", ())):
            found.add(404)
        if "requestBody" in operation:
            found |= {*OF_A_BODY, *self.view.errors_of_a_query}
        return found

    def _refer_to_error(self, code: int) -> dict[str, Any]:
        """Return the reference to an error of its API."""
        body = self.resolve_serializer(self.view.error_body, "response")
        response: dict[str, Any] = {
            "description": self.view.errors[code],
            "content": {"application/json": {"schema": body.ref}},
        }
        if code in (429, 503):
            response["headers"] = {"Retry-After": RETRY_AFTER}
        name = self.view.api + re.sub(r"\W", "", HTTPStatus(code).phrase.title())
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            name=name, type=ResolvedComponent.RESPONSE, schema=response, object=name
        )
        self.registry.register_on_missing(component)
        return component.ref


def join_lines(text: str) -> str:
    """Return a docstring with each paragraph on one line."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))
