"""The template field: an alert template in a form, as JSON."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from pydantic import ValidationError
from unfold import widgets

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.lib.validation import NUL, find_fields_with_nul, list_errors

EXAMPLE = '{"info": [{"label": "Who", "value": "{{@alert.results_table.rows[0].user}}"}], "actions": []}'


class AlertTemplateField(forms.CharField):
    """An alert template. Its value is a dict as it is saved, None if there is none."""

    def __init__(self, **options: Any) -> None:
        widget = widgets.UnfoldAdminTextareaWidget(
            attrs={"rows": 8, "spellcheck": "false", "placeholder": EXAMPLE}
        )
        super().__init__(**{"widget": widget, "required": False, "label": "Alert template", **options})

    def prepare_value(self, value: Any) -> Any:
        """Return the template as indented JSON."""
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value

    def clean(self, value: Any) -> Any:
        """Return the template. Raises forms.ValidationError with the first ten of its errors."""
        text = super().clean(value)
        if not text:
            return None
        try:
            found = AlertTemplate.model_validate_json(text).model_dump(mode="json", exclude_defaults=True)
        except ValidationError as error:
            wrong = [f"{field}: {message}" if field else message for field, message in list_errors(error)]
            raise forms.ValidationError(wrong[:10]) from None
        for field in find_fields_with_nul(found):
            raise forms.ValidationError(f"{field}: {NUL}")
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the template differs from the earlier one."""
        return bool(super().has_changed(self.prepare_value(initial), data))
