"""The fields for an event sink's options, which are the same for every type, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from pydantic import ValidationError
from unfold import widgets

from eventsinks.actions.options import show_options
from eventsinks.admin.parts.filter_field import FilterFields, make_filter_initial, split_lines
from eventsinks.admin.parts.forms import find_not_null, make_field
from eventsinks.admin.parts.spans import SpanField
from eventsinks.admin.parts.template_field import AlertTemplateField
from eventsinks.event_types import EVENT_TYPES
from eventsinks.lib.validation import list_errors
from eventsinks.models import Destination, Tenant
from eventsinks.models.options import Options

FILTER = ("severity_at_least", "filter_tags", "filter_rules", "filter")
QUIET = ("dedup_window", "group_by", "group_window", "throttle_limit", "throttle_window")
ORDER = ("ordering", "ordering_key", "ordering_policy")
FALLBACK = ("fallback_to", "fallback_failures", "fallback_wait")
# The fields that make up an option, if it has no field of its own name,
MADE_OF = {"filter": FILTER, "quiet": QUIET, "fallback": FALLBACK}
# and the field for a path inside the option.
FIELDS_OF_PATHS = {
    "quiet.dedup_window_s": "dedup_window",
    "quiet.group.by": "group_by",
    "quiet.group.window_s": "group_window",
    "quiet.throttle.limit": "throttle_limit",
    "quiet.throttle.window_s": "throttle_window",
    "fallback.event_sink_id": "fallback_to",
    "fallback.after_failures": "fallback_failures",
    "fallback.after_s": "fallback_wait",
}


def make_event_types_field(shown: list[str], *, ours: bool = False) -> forms.MultipleChoiceField:
    """Return the field for the event types that a destination receives, with our notices or without."""
    return forms.MultipleChoiceField(
        label="Event types",
        choices=[(key, kind.label) for key, kind in EVENT_TYPES.items() if ours or not kind.ours],
        initial=shown,
        error_messages={"required": "Choose at least one: it would never be sent anything."},
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget(),
    )


class OptionFields(FilterFields):
    """A mixin for the form of an event sink. `options()` returns what it keeps."""

    alert_template = AlertTemplateField(
        help_text="JSON: “info” rows and “actions” (buttons), each with a label and a value. A value holds fields "
        "of the alert as {{@alert.results_table.rows[0].user}}. Rows marked “use_for_dedup” tell incidents apart."
    )
    dedup_window = SpanField(
        label="Once per incident in",
        help_text="Of the alerts of one incident, only the first in this time goes on.",
    )
    group_by = forms.CharField(
        label="Group by",
        required=False,
        help_text="Fields of the alert, one a line: results_table.rows.0.user. One alert goes on for each "
        "combination of their values.",
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
    )
    group_window = SpanField(label="Once per group in")
    throttle_limit = forms.IntegerField(
        label="At most (alerts)",
        required=False,
        help_text="So many alerts, whatever they are.",
        widget=widgets.UnfoldAdminIntegerFieldWidget(attrs={"placeholder": "100"}),
    )
    throttle_window = SpanField(label="… in", help_text="Acknowledged and resolved alerts always go on.")
    rate_limit_per_s = forms.FloatField(
        label="At most (messages a second)",
        required=False,
        help_text="What is more waits its turn, and nothing is held back. 0.5: one every two seconds.",
        widget=widgets.UnfoldAdminDecimalFieldWidget(attrs={"placeholder": "10", "step": "any"}),
    )
    ordering = forms.ChoiceField(
        label="In order",
        choices=[
            ("incident", "What is told of one incident"),
            ("event_sink", "Everything, one at a time"),
            ("none", "Nothing"),
        ],
        initial="incident",
        required=False,
        help_text="What is sent in the order in which it came in: the next only when the one before has ended.",
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    ordering_key = forms.CharField(
        label="Or what has the same",
        required=False,
        help_text="An expression in CEL over the event, as user.name: it says what is sent in order instead. What "
        "has no such value waits for nothing.",
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"placeholder": "user.name", "spellcheck": "false"}),
    )
    ordering_policy = forms.ChoiceField(
        label="When one fails for good",
        choices=[("skip", "The next one goes"), ("wait", "The next one waits for a replay or a skip")],
        initial="skip",
        required=False,
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    fallback_to = forms.ChoiceField(
        label="Fallback event sink",
        required=False,
        help_text="Gets what could not be delivered here, marked with whose place it takes.",
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    fallback_failures = forms.IntegerField(
        label="After failed tries",
        required=False,
        initial=3,
        widget=widgets.UnfoldAdminIntegerFieldWidget(),
    )
    fallback_wait = SpanField(
        label="Or after",
        initial=600,
        help_text="Whichever comes first. What failed for good falls back at once.",
    )
    drill_interval_s = SpanField(
        label="Fire drill every",
        help_text="A marked event goes the way of every alert, so that a fault shows before it matters. "
        "From 1 min to 90 d; empty: no fire drills.",
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"placeholder": "1 d", "autocomplete": "off"}),
    )

    def options(self) -> Options | None:
        """Return the options whose fields changed, None if none did. Add errors to the fields."""
        changed = [name for name in Options.model_fields if set(list_parts(name)) & set(self.changed_data)]
        given = {name: value for name, value in self._given().items() if name in changed}
        try:
            return Options.model_validate(given) if given else None
        except ValidationError as error:
            for path, message in list_errors(error):
                self.add_error(self.field_of_option(path), message)
            return None

    def field_of_option(self, path: str) -> str | None:
        """Return the field for a path inside the options, or the field of the whole option."""
        names = [path, *(path.rsplit(".", up)[0] for up in range(1, path.count(".") + 1))]
        found = next((FIELDS_OF_PATHS[name] for name in names if name in FIELDS_OF_PATHS), None)
        name = path.partition(".")[0]
        return found or (name if name in self.fields else next(iter(MADE_OF.get(name, ())), None))

    def _given(self) -> Mapping[str, Any]:
        said = self.cleaned_data
        plain = {name: read_value(said[name]) for name in Options.model_fields if name not in MADE_OF}
        return {**plain, "filter": said["filter"] or None, "quiet": self._quiet(), "fallback": self._fallback()}

    def _quiet(self) -> dict[str, Any] | None:
        said, by = self.cleaned_data, split_lines(self.cleaned_data["group_by"])
        quiet: dict[str, Any] = {}
        if said["dedup_window"] is not None:
            quiet["dedup_window_s"] = said["dedup_window"]
        if by or said["group_window"] is not None:
            quiet["group"] = drop_absent({"by": by or None, "window_s": said["group_window"]})
        if said["throttle_limit"] is not None or said["throttle_window"] is not None:
            quiet["throttle"] = drop_absent({"limit": said["throttle_limit"], "window_s": said["throttle_window"]})
        return quiet or None

    def _fallback(self) -> dict[str, Any] | None:
        said = self.cleaned_data
        if not said["fallback_to"]:
            return None
        times = {"after_failures": said["fallback_failures"], "after_s": said["fallback_wait"]}
        return {"event_sink_id": said["fallback_to"], **drop_absent(times)}


def list_parts(name: str) -> tuple[str, ...]:
    """Return the fields that make up an option."""
    return MADE_OF.get(name, (name,))


def read_value(said: Any) -> Any:
    """Return the value of a field, None if it is empty."""
    return None if said == "" else said


def make_plain_fields() -> dict[str, forms.Field]:
    """Return the fields of options that have no special field here, made from their declaration."""
    schema = Options.model_json_schema()["properties"]
    own = {*OptionFields.base_fields, *MADE_OF, "event_types"}
    found = {}
    for name, of_field in schema.items():
        if name not in own:
            shown = {"label": of_field.get("title", name), "help_text": of_field.get("description", "")}
            found[name] = make_field(find_not_null(of_field), {**shown, "required": False})
    return found


def drop_absent(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that were filled in."""
    return {name: value for name, value in given.items() if value is not None}


def make_option_fields(tenant: Tenant, sink: Destination | None) -> dict[str, forms.Field]:
    """Return the fields that depend on the sink: the other sinks of its tenant, and the event types."""
    others = Destination.objects.of(tenant).sinks().exclude(pk=sink.pk if sink else 0).order_by("name", "id")
    fallback = OptionFields.base_fields["fallback_to"]
    return {
        **make_plain_fields(),
        "event_types": make_event_types_field(sink.event_types if sink else ["detection_alert"], ours=True),
        "fallback_to": forms.ChoiceField(
            label=fallback.label,
            required=False,
            help_text=fallback.help_text,
            choices=[("", "None"), *((str(other.uuid), other.name) for other in others)],
            widget=widgets.UnfoldAdminSelectWidget(),
        ),
    }


def make_option_initial(sink: Destination) -> dict[str, Any]:
    """Return the first values of the fields for a sink's options."""
    shown = show_options(sink)
    quiet = shown["quiet"] or {}
    group, throttle = quiet.get("group") or {}, quiet.get("throttle") or {}
    return {
        **{name: value for name, value in shown.items() if name not in MADE_OF},
        "filter": "",
        **make_filter_initial(sink.filter),
        "dedup_window": quiet.get("dedup_window_s"),
        "group_by": "\n".join(group.get("by", ())),
        "group_window": group.get("window_s"),
        "throttle_limit": throttle.get("limit"),
        "throttle_window": throttle.get("window_s"),
        "fallback_to": str(sink.fallback.uuid) if sink.fallback else "",
        "fallback_failures": sink.fallback_after_failures,
        "fallback_wait": sink.fallback_after_s,
    }


PLAIN = list(make_plain_fields())
