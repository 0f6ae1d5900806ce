"""Alert templates: which facts and buttons of an alert to show, as in Scanner's detection rules."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from eventsinks.lib.budget import TEMPLATE_STEPS, Budget
from eventsinks.lib.templates.template import (
    BROUGHT,
    KEPT,
    BadTemplate,
    CompiledTemplates,
    count_compile_steps,
    render_text,
)

MAX_INFO = 50
MAX_ACTIONS = 25
MAX_LABEL = 75  # characters: the limit for a button in Slack
MAX_VALUE = 10_000  # characters
MAX_COMPILE = 10_000  # steps for all values together
# STORED: a template that was checked before; its values are compiled at first use. OF_AN_ALERT: one from an alert.
STORED, OF_AN_ALERT = "stored", "of_an_alert"


def check_value(text: str, info: ValidationInfo) -> str:
    """Raise ValueError for a text that is not a template.

    A stored one was checked before, so it is not compiled here.
    """
    context = info.context or {}
    if not context.get(STORED):
        try:
            (BROUGHT if context.get(OF_AN_ALERT) else KEPT).get(text)
        except BadTemplate as error:
            raise ValueError(str(error)) from None
    return text


def is_too_much(given: Any) -> bool:
    """Whether the values of a raw template, of any shape, cost more than MAX_COMPILE to compile."""
    found = given if isinstance(given, dict) else {}
    lists = [(found.get("info"), MAX_INFO), (found.get("actions"), MAX_ACTIONS)]
    items = [item for items, most in lists if isinstance(items, list | tuple) for item in items[:most]]
    values = {item.get("value") for item in items if isinstance(item, dict) and isinstance(item.get("value"), str)}
    total = 0
    for value in values:
        with suppress(BadTemplate):  # the error is reported for that value
            total += count_compile_steps(str(value))
        if total > MAX_COMPILE:
            return True
    return False


Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Value = Annotated[str, Field(max_length=MAX_VALUE), AfterValidator(check_value)]


class Info(BaseModel):
    """A section: a heading and a text. With `use_for_dedup`, its text tells one incident from another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Label = Field(description="the heading")
    value: Value = Field(description="the text")
    use_for_dedup: bool = Field(False, description="whether the text tells one incident from another")


class Action(BaseModel):
    """A button: its text, and where it leads. What is not a URL is shown as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Label = Field(description="the text on it")
    value: Value = Field(description="where it leads")


@dataclass(frozen=True, slots=True)
class FilledTemplate:
    """A filled-in template: label and value each. `dedup_values` are the texts that tell incidents apart."""

    info: tuple[tuple[str, str], ...] = ()
    actions: tuple[tuple[str, str], ...] = ()
    dedup_values: tuple[str, ...] = ()


class AlertTemplate(BaseModel):
    """What of an alert is told. Values hold fields as `{{@alert.results_table.rows[0].user}}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    info: tuple[Info, ...] = Field((), max_length=MAX_INFO, description="sections")
    actions: tuple[Action, ...] = Field((), max_length=MAX_ACTIONS, description="buttons")

    @model_validator(mode="before")
    @classmethod
    def is_affordable(cls, given: Any, info: ValidationInfo) -> Any:
        """Raise ValueError if compiling it would delay others. Nothing is compiled before this check."""
        if not (info.context or {}).get(STORED) and is_too_much(given):
            raise ValueError(
                "does too much: all tags together may have some 8,000 characters; plain fields cost less"
            )
        return given

    def __hash__(self) -> int:
        """Return a cheap hash: a text remembers its own."""
        return hash(tuple([info.value for info in self.info]))

    def told(
        self, document: Mapping[str, Any], budget: Budget | None = None, among: CompiledTemplates = KEPT
    ) -> FilledTemplate:
        """Return the template filled in with the fields of an alert. Never raises.

        All values together use at most TEMPLATE_STEPS of `budget`. Those that tell incidents apart come first.
        """
        paying = (budget or Budget()).share(TEMPLATE_STEPS)
        dedup_values = self._dedup_values(document, paying, among)
        found: dict[str, str] = {}

        def shown(text: str) -> str:
            if text not in found:
                found[text] = render_text(text, document, paying, among)
            return found[text]

        return FilledTemplate(
            info=tuple((info.label, shown(info.value)) for info in self.info),
            actions=tuple((action.label, shown(action.value)) for action in self.actions),
            dedup_values=dedup_values,
        )

    def dedup_values(
        self, document: Mapping[str, Any], budget: Budget | None = None, among: CompiledTemplates = KEPT
    ) -> tuple[str, ...]:
        """Return the texts that tell one incident of a rule from another.

        Return none if all are empty for this alert: otherwise all alerts of the rule would be one incident.
        """
        return self._dedup_values(document, (budget or Budget()).share(TEMPLATE_STEPS), among)

    def _dedup_values(
        self, document: Mapping[str, Any], budget: Budget, among: CompiledTemplates
    ) -> tuple[str, ...]:
        marked = [info.value for info in self.info if info.use_for_dedup]
        found = tuple(render_text(value, document, budget, among) for value in marked)
        return () if found == tuple(marked) else found


NOTHING_TOLD = AlertTemplate(info=(), actions=())  # for callers that need only what no template decides


def load_template(kept: Any) -> AlertTemplate:
    """Return a template that was checked when it was stored. Its values are compiled at first use."""
    return AlertTemplate.model_validate(kept, context={STORED: True})
