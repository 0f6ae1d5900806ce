"""The options of an event sink on its form: what is kept, what is left alone, and what is said of mistakes."""

from __future__ import annotations

import pytest
from django.urls import reverse

from eventsinks.actions import configure
from eventsinks.actions.options import show_options
from eventsinks.event_types.filter_preset import make_filter
from eventsinks.models import Destination, EventSink
from eventsinks.models.options import Options

TEMPLATE = '{"info": [{"label": "Who", "value": "{{@alert.name}}"}]}'


def page_of(sink):
    return reverse("admin:eventsinks_eventsink_change", args=[sink.pk])


def filled(response):
    """What a browser would send of a page whose form nobody touched."""
    form = response.context["adminform"].form
    sent = {}
    for bound in form:
        value = form[bound.name].value()
        if value not in (None, False, "", []):
            sent[bound.name] = value
    return {name: bound_text(form, name, value) for name, value in sent.items()}


def bound_text(form, name, value):
    return form.fields[name].prepare_value(value)


def save(client, sink, **changes):
    return client.post(page_of(sink), {**filled(client.get(page_of(sink))), **changes})


def options_of(sink):
    return show_options(Destination.objects.get(pk=sink.pk))


def test_every_option_is_kept_and_shown_again(operator, make_webhook):
    sink, other = make_webhook(), make_webhook(name="the other one")
    changes = {
        "severity_at_least": "High",
        "filter_tags": "aws, gcp",
        "alert_template": TEMPLATE,
        "dedup_window": "10 min",
        "group_by": "user.name",
        "group_window": "1 h",
        "throttle_limit": "100",
        "throttle_window": "30 s",
        "fallback_to": str(other.uuid),
        "fallback_failures": "2",
        "fallback_wait": "5 min",
        "drill_interval_s": "1 d",
        "rate_limit_per_s": "0.5",
        "ordering": "event_sink",
        "ordering_key": "user.name",
        "ordering_policy": "wait",
        "event_types": ["detection_alert", "audit"],
    }
    response = save(operator, sink, **changes)
    assert response.status_code == 302, response.context["adminform"].form.errors
    kept = options_of(sink)
    assert kept == {
        "filter": make_filter("High", ["aws", "gcp"], []),
        "alert_template": {"info": [{"label": "Who", "value": "{{@alert.name}}"}]} | kept["alert_template"],
        "quiet": {
            "dedup_window_s": 600,
            "group": {"by": ["user.name"], "window_s": 3600},
            "throttle": {"limit": 100, "window_s": 30},
        },
        "fallback": {"event_sink_id": other.uuid, "after_failures": 2, "after_s": 300},
        "drill_interval_s": 86_400,
        "rate_limit_per_s": 0.5,
        "event_types": ["detection_alert", "audit"],
        "ordering": "event_sink",
        "ordering_key": "user.name",
        "ordering_policy": "wait",
    }
    page = operator.get(page_of(sink))
    shown = filled(page)
    assert (shown["severity_at_least"], shown["filter_tags"]) == ("High", "aws\ngcp")
    assert (shown["dedup_window"], shown["drill_interval_s"]) == ("10 min", "1 d")
    assert "filter" not in shown


def test_a_form_that_nobody_touched_changes_no_option(operator, make_webhook):
    other = make_webhook()
    options = Options.model_validate(
        {
            "filter": "severity_id >= 4",
            "quiet": {"dedup_window_s": 90},
            "fallback": {"event_sink_id": other.uuid},
            "drill_interval_s": 3600,
            "alert_template": {"info": [{"label": "Who", "value": "x"}]},
        }
    )
    sink = make_webhook(options=options)
    before, drilled_at = options_of(sink), EventSink.objects.get(pk=sink.pk).drilled_at
    assert save(operator, sink, name="renamed").status_code == 302
    after = EventSink.objects.get(pk=sink.pk)
    assert after.name == "renamed"
    assert (options_of(sink), after.drilled_at) == (before, drilled_at)


def test_options_are_taken_away_by_emptying_their_fields(operator, make_webhook):
    other = make_webhook()
    options = Options.model_validate(
        {"filter": "true", "quiet": {"dedup_window_s": 90}, "fallback": {"event_sink_id": other.uuid}}
    )
    sink = make_webhook(options=options)
    save(operator, sink, filter="", dedup_window="", fallback_to="")
    kept = options_of(sink)
    assert (kept["filter"], kept["quiet"], kept["fallback"]) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"filter": "severity_id >="}, "filter", "Not a filter"),
        ({"alert_template": '{"info": [{"label": "", "value": "x"}]}'}, "alert_template", "info.0.label"),
        ({"dedup_window": "soon"}, "dedup_window", "a number and a unit"),
        ({"dedup_window": "30 d"}, "dedup_window", "less than or equal to 604800"),
        ({"group_by": "user.name"}, "group_window", "Field required"),
        ({"group_window": "1 h"}, "group_by", "Field required"),
        ({"throttle_limit": "5"}, "throttle_window", "Field required"),
        ({"throttle_limit": "0", "throttle_window": "1 h"}, "throttle_limit", "greater than or equal to 1"),
        ({"fallback_failures": "101", "fallback_to": "other"}, "fallback_failures", "less than or equal to 100"),
        ({"drill_interval_s": "5 s"}, "drill_interval_s", "greater than or equal to 60"),
        ({"event_types": []}, "event_types", "Choose at least one"),
        ({"event_types": ["nothing"]}, "event_types", "valid choice"),
        (
            {"alert_template": '{"info": [{"label": "a", "value": "b\\u0000"}]}'},
            "alert_template",
            "info.0.value: must not con",
        ),
    ],
)
def test_what_is_wrong_with_an_option_is_said_at_its_field(operator, make_webhook, changes, field, message):
    sink, other = make_webhook(), make_webhook()
    if "fallback_to" in changes:
        changes = {**changes, "fallback_to": str(other.uuid)}
    response = save(operator, sink, **changes)
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors
    assert list(errors) == [field]
    assert message in str(errors[field])
    assert EventSink.objects.get(pk=sink.pk).version == sink.version


def test_a_sink_falls_back_to_another_one_of_its_tenant_only(operator, make_webhook, globex):
    sink, foreign = make_webhook(), make_webhook(tenant=globex, name="Foreign one")
    page = operator.get(page_of(sink)).content.decode()
    assert "Foreign one" not in page
    for wrong in (foreign, sink):
        response = save(operator, sink, fallback_to=str(wrong.uuid), fallback_failures="2")
        assert "valid choice" in str(response.context["adminform"].form.errors["fallback_to"])
    assert options_of(sink)["fallback"] is None


def test_a_new_sink_is_made_with_its_options(operator, acme):
    address = f"{reverse('admin:eventsinks_eventsink_add')}?type=webhook&tenant={acme.pk}"
    given = filled(operator.get(address)) | {"name": "new", "config_url": "https://example.com", "filter": "true"}
    assert operator.post(address, given).status_code == 302
    assert options_of(EventSink.objects.get())["filter"] == "true"


def test_who_may_only_look_sees_the_options_and_no_fields_for_them(sign_in, make_webhook):
    sink = make_webhook(
        options=Options.model_validate({"filter": "severity_id >= 4", "quiet": {"dedup_window_s": 90}})
    )
    page = sign_in("view_eventsink").get(page_of(sink)).content.decode()
    assert "severity_id &gt;= 4" in page
    assert "dedup_window_s" in page
    assert 'name="filter"' not in page


# --- Previews


def preview_filter(client, tenant, **fields):
    return client.post(reverse("admin:eventsinks_preview_filter", args=[tenant.pk]), fields)


def test_a_preview_says_how_many_of_the_newest_alerts_match(operator, acme, globex, make_alert):
    make_alert(name="Root login", severity="High")
    make_alert(name="A <b>bold</b> one", severity="Low")
    make_alert(tenant=globex, name="Foreign", severity="High")
    page = preview_filter(operator, acme, severity_at_least="High").content.decode()
    assert "1 of the 2 newest alerts" in page
    assert "Root login" in page
    everything = preview_filter(operator, acme).content.decode()
    assert "A &lt;b&gt;bold&lt;/b&gt; one" in everything
    assert "Foreign" not in everything
    assert "Not a filter" in preview_filter(operator, acme, filter="nonsense(").content.decode()


def test_a_preview_shows_no_alert_to_who_may_not_see_events(sign_in, acme, make_alert):
    make_alert(name="Root login")
    client = sign_in("change_eventsink")
    page = preview_filter(client, acme).content.decode()
    assert "1 of the 1 newest" in page
    assert "Root login" not in page


def test_a_preview_is_for_who_may_set_filters(sign_in, acme, make_webhook):
    client = sign_in("view_eventsink", "view_event")
    assert preview_filter(client, acme).status_code == 403
    template = reverse("admin:eventsinks_preview_template", args=[make_webhook().pk])
    assert client.post(template, {}).status_code == 403
    assert client.get(template).status_code == 405


def test_a_template_is_previewed_with_the_newest_alert_and_no_secret(operator, acme, make_webhook, make_alert):
    sink = configure.create(acme, "pagerduty", {"integration_key": "neverToBeSeen0123456789abcdefghi"}, name="p")
    address = reverse("admin:eventsinks_preview_template", args=[sink.pk])
    assert "no alert yet" in operator.post(address, {"template": TEMPLATE}).content.decode()
    make_alert(name="Root login")
    page = operator.post(address, {"template": TEMPLATE}).content.decode()
    assert "Who" in page
    assert "Root login" in page
    assert "neverToBeSeen" not in page
    assert "info.0.label" in operator.post(address, {"template": TEMPLATE.replace("Who", "")}).content.decode()
