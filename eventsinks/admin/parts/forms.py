"""Forms made from a destination type's Config: a new type needs no form of its own.

The JSON schema of a Config describes its fields. Only the Config itself decides whether a value is valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from unfold import widgets

from eventsinks.destinations.base import LONG_TEXT, MASK, Config

PREFIX = "config_"  # before the names of a Config's fields, to keep them apart from fields of the sink
Schema = Mapping[str, Any]


class MaskedInput(widgets.UnfoldAdminPasswordWidget):  # type: ignore[misc]
    """A password input that shows the mask and never a secret, not even one that was just typed."""

    def __init__(self) -> None:
        super().__init__({"autocomplete": "new-password", "data-select-on-focus": ""}, render_value=True)

    def format_value(self, value: Any) -> str | None:
        """Return the mask, or nothing."""
        return MASK if value == MASK else None


class SecretField(forms.CharField):
    """A secret. The mask means that the value stays."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=MaskedInput(), strip=True, **options)

    def clean(self, value: Any) -> Any:
        """Return the secret. Raises ValidationError for a mixture of the mask and other text."""
        cleaned = super().clean(value)
        if cleaned == MASK and self.initial != MASK:
            raise forms.ValidationError(f"There is no value yet that {MASK} could stand for.")
        if MASK in cleaned and cleaned != MASK:
            raise forms.ValidationError(f"Replace the whole value, or leave {MASK} as it is.")
        return cleaned


class LongField(forms.CharField):
    """A text of several lines. It is kept exactly, except that every line ends in a line feed."""

    def __init__(self, **options: Any) -> None:
        widget = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 6, "spellcheck": "false"})
        super().__init__(widget=widget, strip=False, **options)

    def to_python(self, value: Any) -> str:
        """Return the text with line feeds as line ends."""
        return (super().to_python(value) or "").replace("\r\n", "\n")

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the text differs from the earlier one."""
        return self.to_python(data) != self.to_python(initial)


class PairsField(forms.CharField):
    """Names and values, one `Name: value` a line. The mask as a value means that the value stays."""

    def __init__(self, *, secret: bool, **options: Any) -> None:
        hint = "One “Name: value” a line."
        if secret:
            hint += f" Values are secret: they are stored encrypted, and {MASK} means “as it was”."
        attributes = {"rows": 4, "spellcheck": "false", "placeholder": "Authorization: Bearer …"}
        widget = widgets.UnfoldAdminTextareaWidget(attrs=attributes)
        options["help_text"] = options.get("help_text") or hint
        super().__init__(widget=widget, strip=True, **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the pairs as lines."""
        return "\n".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value

    def clean(self, value: Any) -> Any:
        """Return the pairs as a dict. Raises ValidationError for a line that is not a pair."""
        pairs: dict[str, str] = {}
        for line in filter(None, map(str.strip, super().clean(value).splitlines())):
            name, colon, text = (part.strip() for part in line.partition(":"))
            if not colon or not name or not text:
                raise forms.ValidationError("Write each line as “Name: value”.")
            if name in pairs:
                raise forms.ValidationError("%(name)s stands there twice.", params={"name": name})
            if text == MASK and name not in (self.initial or {}):
                raise forms.ValidationError(
                    f"%(name)s has no value yet that {MASK} could stand for.", params={"name": name}
                )
            pairs[name] = text
        return pairs

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the pairs differ from the earlier ones. Their order does not matter."""
        return split_pairs(data) != split_pairs(self.prepare_value(initial))


class LinesField(forms.CharField):
    """Texts, one a line."""

    def __init__(self, **options: Any) -> None:
        options["help_text"] = options.get("help_text") or "One a line."
        widget = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"})
        super().__init__(widget=widget, strip=True, **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the texts as lines."""
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def clean(self, value: Any) -> Any:
        """Return the texts as a list."""
        return split_texts(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the texts differ from the earlier ones."""
        return split_texts(data or "") != list(initial or ())


def split_texts(text: str) -> list[str]:
    """Return the lines of `text` that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def split_pairs(text: str | None) -> list[str]:
    """Return the pairs in `text`, sorted and without spaces around their parts."""
    parts = ([part.strip() for part in line.split(":", 1)] for line in (text or "").splitlines())
    return sorted(filter(None, map(": ".join, parts)))


def make_fields(config: type[Config], shown: Mapping[str, Any]) -> dict[str, forms.Field]:
    """Return the form's fields for `config`. Their first values are what a GET shows.

    A field that dumps exclude is not for a person to fill in. Of two spellings, the stored one is shown.
    """
    unasked = {one if shown.get(other) else other for one, other in config.spellings}
    schema = config.model_json_schema()
    required = schema.get("required", ())
    found: dict[str, forms.Field] = {}
    for name, of_field in schema.get("properties", {}).items():
        if config.model_fields[name].exclude or name in unasked:
            continue
        initial = shown.get(name, of_field.get("default"))
        options = {
            "label": of_field.get("title", name),
            "help_text": of_field.get("description", ""),
            "required": name in required,
            "initial": initial,
        }
        field = make_field(find_not_null(of_field), options)
        if isinstance(field, forms.ChoiceField) and find_not_null(of_field) is not of_field:
            offered: Any = field.choices
            field.choices = [("", "Not set"), *offered]  # otherwise the browser would choose the first one
        found[PREFIX + name] = field
    return found


def find_not_null(schema: Schema) -> Schema:
    """Return the schema of a field without null, if there is exactly one."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else schema


def make_field(schema: Schema, options: dict[str, Any]) -> forms.Field:
    """Return the form's field for one field of a Config."""
    kind = schema.get("type")
    if "enum" in schema:
        choices = [(value, value) for value in schema["enum"]]
        return forms.ChoiceField(choices=choices, widget=widgets.UnfoldAdminSelectWidget(), **options)
    if kind == "string" and schema.get("format") == "password":
        # Some values show names beside masks. If the field stays as it is, the whole value stays.
        return SecretField(**{**options, "initial": MASK if options["initial"] else ""})
    if kind == "string" and schema.get("format") == LONG_TEXT:
        return LongField(**options)
    if kind == "string":
        return forms.CharField(widget=widgets.UnfoldAdminTextInputWidget(), **options)
    if kind == "boolean":
        return forms.BooleanField(widget=widgets.UnfoldBooleanSwitchWidget(), **{**options, "required": False})
    if kind == "integer":
        return forms.IntegerField(widget=widgets.UnfoldAdminIntegerFieldWidget(), **options)
    if kind == "number":
        return forms.FloatField(widget=widgets.UnfoldAdminDecimalFieldWidget(), **options)
    return make_field_of_several(schema, options)


def make_field_of_several(schema: Schema, options: dict[str, Any]) -> forms.Field:
    """Return the form's field for a Config's field with several values."""
    kind, values, items = (schema.get(name) for name in ("type", "additionalProperties", "items"))
    if kind == "object" and isinstance(values, Mapping) and values.get("type") == "string":
        return PairsField(secret=values.get("format") == "password", **options)
    if kind == "array" and isinstance(items, Mapping) and items.get("type") == "string":
        return LinesField(**options)
    return forms.JSONField(widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 6}), **options)
