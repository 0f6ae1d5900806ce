"""An alert template, as Scanner's detection rules have it: what of an alert is told, and its buttons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from eventsinks.lib.template import BadTemplate, template

MAX_INFO = 50
MAX_ACTIONS = 25
MAX_LABEL = 75  # characters, as many as a button of Slack may have
MAX_VALUE = 10_000  # characters


def check_value(text: str) -> str:
    """Raise ValueError for a text that is no template."""
    try:
        template(text)
    except BadTemplate as error:
        raise ValueError(str(error)) from None
    return text


Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Value = Annotated[str, Field(max_length=MAX_VALUE), AfterValidator(check_value)]


class Info(BaseModel):
    """A section: a heading and a text. With `use_for_dedup`, its text tells one incident from another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Label
    value: Value
    use_for_dedup: bool = False


class Action(BaseModel):
    """A button: its text, and where it leads. What is not a URL is shown as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Label
    value: Value


@dataclass(frozen=True, slots=True)
class Told:
    """A template, filled in: label and value each; `dedup_values` are the texts that tell incidents apart."""

    info: tuple[tuple[str, str], ...] = ()
    actions: tuple[tuple[str, str], ...] = ()
    dedup_values: tuple[str, ...] = ()


class AlertTemplate(BaseModel):
    """What of an alert is told. Values hold fields as `{{@alert.results_table.rows[0].user}}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    info: tuple[Info, ...] = Field((), max_length=MAX_INFO)
    actions: tuple[Action, ...] = Field((), max_length=MAX_ACTIONS)

    def told(self, document: Mapping[str, Any]) -> Told:
        """Return it filled in with the fields of an alert. Never raises."""
        return Told(
            info=tuple((info.label, template(info.value).render(document)) for info in self.info),
            actions=tuple((action.label, template(action.value).render(document)) for action in self.actions),
            dedup_values=self.dedup_values(document),
        )

    def dedup_values(self, document: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the texts that tell one incident of a rule from another.

        None where none of them says anything of this alert: all alerts of the rule would be one incident.
        """
        marked = [info.value for info in self.info if info.use_for_dedup]
        found = tuple(template(value).render(document) for value in marked)
        return () if found == tuple(marked) else found
