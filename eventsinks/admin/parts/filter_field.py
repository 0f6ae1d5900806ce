"""The filter fields: a form says which alerts a sink wants, with presets or a filter in CEL."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold import widgets

from eventsinks.event_types.filter_preset import make_filter, read_filter
from eventsinks.event_types.severities import SEVERITY_NUMBERS
from eventsinks.lib.filters.event_filter import BadFilter, EventFilter

ANY = [("", "Any severity"), *((name, f"{name} or worse") for name in SEVERITY_NUMBERS if name != "Unknown")]


class FilterFields(forms.Form):
    """A mixin for forms: `cleaned_data["filter"]` is the filter in CEL, "" for every alert.

    Show a saved filter with `initial=filter_initial(text)`: a filter that presets can express shows as presets.
    """

    severity_at_least = forms.ChoiceField(
        label="Severity at least",
        choices=ANY,
        required=False,
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    filter_tags = forms.CharField(
        label="Tags",
        required=False,
        help_text="Alerts with one of these tags; one a line, or with commas between.",
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
    )
    filter_rules = forms.CharField(
        label="Detection rules",
        required=False,
        help_text="Alerts of one of these rules: names or ids, one a line.",
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
    )
    filter = forms.CharField(
        label="Filter in CEL",
        required=False,
        help_text='Instead of the above: severity_id >= 4 && !("test" in tags)',
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
    )

    def clean(self) -> dict[str, Any]:
        """Build the filter. Show its errors at its field."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        chosen = make_filter(
            cleaned.get("severity_at_least") or None,
            split_lines(cleaned.get("filter_tags", "").replace(",", "\n")),
            split_lines(cleaned.get("filter_rules", "")),
        )
        text = cleaned.get("filter", "").strip()
        if chosen and text and chosen != text:
            self.add_error("filter", "Choose severity, tags and rules above, or write a filter here, not both.")
        cleaned["filter"] = text or chosen
        if cleaned["filter"]:
            self._check(cleaned["filter"], "filter" if text else "filter_rules")
        return cleaned

    def _check(self, text: str, field: str) -> None:
        try:
            EventFilter(text)
        except BadFilter as error:
            self.add_error(field, f"Not a filter: {error}")


def make_filter_initial(text: str) -> dict[str, str]:
    """Return the first values of the fields for a saved filter."""
    found = read_filter(text)
    plain = (
        found is not None and not any("," in tag for tag in found.tags) and are_lines(*found.tags, *found.rules)
    )
    if found is None or not plain:
        return {"filter": text}
    return {
        "severity_at_least": found.severity_at_least or "",
        "filter_tags": "\n".join(found.tags),
        "filter_rules": "\n".join(found.rules),
    }


def are_lines(*texts: str) -> bool:
    """Whether each text is one line that stays the same when it is read from a form."""
    return all(split_lines(text) == [text] for text in texts)


def split_lines(text: str) -> list[str]:
    """Return the lines that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]
