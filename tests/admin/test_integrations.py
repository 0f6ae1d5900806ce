"""Integrations: a form per type, from where on they hear, how far they are, and sending again."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from eventsinks.actions import configure
from eventsinks.admin.integrations.health import measure_health
from eventsinks.admin.parts import marks
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.models import Batch, Destination, Event, Integration, Position
from eventsinks.models.stream import LogPlace
from tests.admin.conftest import HOSTILE
from tests.destinations.examples import example, make_type
from tests.helpers.receiver import Receiver, answer
from tests.helpers.visible import visible

LIST, ADD = reverse("admin:eventsinks_integration_changelist"), reverse("admin:eventsinks_integration_add")
KEY = "never-to-be-seen-0123456789abcdef"
TYPES = [key for key, kind in DESTINATION_TYPES.items() if kind.face == "integration"]


def page_of(found, name="change"):
    return reverse(f"admin:eventsinks_integration_{name}", args=[found.pk])


def add(client, tenant, type="generic_http", **fields):
    form = {
        "name": "new",
        "config_url": "https://example.com/in",
        "event_types": ["audit", "network_traffic"],
        "mapping": "as_accepted",
        "start": "now",
        "enabled": "on",
    }
    return client.post(f"{ADD}?type={type}&tenant={tenant.pk}", {**form, **fields})


def save(client, found, **changes):
    form = client.get(page_of(found)).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    return client.post(page_of(found), {name: value or "" for name, value in {**shown, **changes}.items()})


@pytest.fixture
def events(acme):
    """Three audit events of Acme: a day old, two hours old, new."""
    Event.objects.all().delete()
    for number in range(3):
        document = {"id": str(number), "activity_code": "peer.add", "timestamp": "2026-01-01T00:00:00Z"}
        accept(acme, event_type("audit"), [json.dumps(document).encode()])
    rows = list(Event.objects.order_by("id"))
    for row, age in zip(rows, (24, 2, 0), strict=True):
        Event.objects.filter(pk=row.pk).update(received_at=timezone.now() - timedelta(hours=age))
    return rows


@pytest.fixture
def datadog(acme):
    return configure.create(acme, "datadog", {"api_key": KEY, "api_url": INTAKE}, name="dogs")


INTAKE = "https://http-intake.logs.datadoghq.com/api/v2/logs"


def place_of(found):
    return Position.objects.get(destination_id=found.pk).place


# --- The form


def test_adding_begins_with_the_tenant_and_the_type(operator, acme):
    page = operator.get(ADD).content.decode()
    for kind in DESTINATION_TYPES.values():
        assert (f">{kind.label}<" in page.replace("\n", "").replace("  ", "")) == (kind.face == "integration")
    for type in TYPES:
        assert operator.get(f"{ADD}?type={type}&tenant={acme.pk}").status_code == 200
    assert "Whose events" in operator.get(f"{ADD}?type=webhook&tenant={acme.pk}").content.decode()


def spell(config):
    """Return the fields of a config, the keys of AWS in one spelling."""
    found = config.dump_revealed()
    for name, other in (("access_key_id", "access_key"), ("secret_access_key", "secret_key")):
        if name in found:
            found[other] = found.pop(name)
    return found


def test_the_form_of_s3_asks_for_one_pair_of_keys_and_shows_the_policy_that_they_need(operator, acme):
    new = reverse("admin:eventsinks_integration_add")
    page = operator.get(new, {"type": "s3", "tenant": acme.pk}).content.decode()
    assert [name for name in ("access_key", "access_key_id") if f'name="config_{name}"' in page] == ["access_key"]
    assert "arn:aws:s3:::BUCKET/*" in page
    given = {**example("s3"), "prefix": "logs/"}
    made = configure.create(acme, "s3", given, name="lake", enabled=False)
    page = operator.get(page_of(made)).content.decode()
    assert f"arn:aws:s3:::{given['bucket_name']}/logs/*" in page
    asked = {name for name in ("access_key", "access_key_id") if f'name="config_{name}"' in page}
    assert asked == {name for name in given if name in ("access_key", "access_key_id")}


@pytest.mark.parametrize("type", TYPES)
def test_every_type_is_added_by_what_a_person_types_in(operator, acme, type):
    given = example(type)
    shown = {
        "access_key_id": "access_key",
        "secret_access_key": "secret_key",
    }  # one is asked for
    fields = {f"config_{shown.get(name, name)}": value for name, value in given.items()}
    response = add(operator, acme, type, enabled="", **{"config_url": "", **fields})
    assert response.status_code == 302, response.context["adminform"].form.errors
    made = Integration.objects.get()
    expected = make_type(type).config
    assert spell(made.opened_config()) == spell(expected)
    page = operator.get(page_of(made)).content.decode()
    assert not [secret for secret in made.opened_config().secrets().values() if str(secret) in page]


def test_an_integration_is_added(operator, acme):
    assert add(operator, acme, mapping="ocsf", event_types=["audit"]).status_code == 302
    made = Integration.objects.get()
    assert (made.tenant, made.mapping, made.event_types, made.state) == (acme, "ocsf", ["audit"], "active")


def test_a_filter_is_kept_changed_and_taken_away_and_one_that_can_not_be_read_is_refused(operator, acme):
    assert add(operator, acme, filter="protocol == 6").status_code == 302
    made = Integration.objects.get()
    assert made.filter == "protocol == 6"
    for text in ("protocol == 17", ""):
        assert save(operator, made, filter=text).status_code == 302
        made.refresh_from_db()
        assert made.filter == text
    response = save(operator, made, filter="protocol ==")
    assert response.context["adminform"].form.errors["filter"]
    assert Integration.objects.get().filter == ""


@pytest.mark.parametrize(
    ("fields", "waiting"),
    [({"start": "now"}, 0), ({"start": "hours", "hours": "3"}, 2), ({"start": "beginning"}, 3)],
)
def test_a_new_integration_begins_where_it_was_said_to(transactional_db, operator, acme, events, fields, waiting):
    visible(acme)
    assert add(operator, acme, enabled="", event_types=["audit"], **fields).status_code == 302
    made = Integration.objects.get()
    newest = events[-1].pk
    Event.objects.filter(pk__gt=newest).delete()  # what the making itself recorded
    assert measure_health(made).waiting == waiting
    assert made.state == "paused"


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"config_url": "http://10.0.0.1/"}, "config_url", "10.0.0.1"),
        ({"start": "hours", "hours": ""}, "hours", "how many hours"),
        ({"start": "hours", "hours": "0"}, "hours", "greater than or equal to 1"),
        ({"event_types": []}, "event_types", "at least one"),
        ({"event_types": ["notice"]}, "event_types", "valid choice"),
        ({"mapping": "nothing"}, "mapping", "valid choice"),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_nothing_is_kept(operator, acme, fields, field, message):
    response = add(operator, acme, **fields)
    errors = response.context["adminform"].form.errors
    assert list(errors) == [field]
    assert message in str(errors[field])
    assert not Destination.objects.exists()


def test_what_may_be_left_open_is_not_chosen_for_the_person(operator, acme):
    form = operator.get(f"{ADD}?type=s3&tenant={acme.pk}").context["adminform"].form
    assert form["config_sse"].value() is None
    assert form.fields["config_sse"].choices[0] == ("", "Not set")


def test_a_masked_secret_stays_as_it_was_and_is_never_shown(operator, datadog):
    assert KEY not in operator.get(page_of(datadog)).content.decode()
    assert save(operator, datadog, name="renamed", mapping="ecs").status_code == 302
    kept = Integration.objects.get()
    assert (kept.name, kept.mapping) == ("renamed", "ecs")
    assert kept.opened_config().dump_revealed()["api_key"] == KEY


POSTED = {"url": "https://example.com/", "headers": '{"X-Key":"k"}', "body_template": '{"m": {{.ID}}}'}


def test_what_a_browser_sends_back_of_a_page_changes_nothing(operator, acme):
    """It sends the values that stand in the page, of which masked headers are one."""
    posted = {**POSTED, "ordered": "true", "body_template": " {{.ID}}\n\n{{.Message}} "}
    made = configure.create(acme, "generic_http", posted, name="g")
    page = operator.get(page_of(made)).content.decode()
    (shown,) = re.findall(r'<input[^>]*name="config_headers"[^>]*>', page)
    assert 'value="****"' in shown
    written = {"config_headers": "****", "config_body_template": posted["body_template"].replace("\n", "\r\n")}
    assert re.search(r'<textarea[^>]*name="config_body_template"', page)
    for changes in (written, {**written, "config_url": "https://example.com/new"}):
        assert save(operator, made, **changes).status_code == 302
        kept = Integration.objects.get().opened_config().dump_revealed()
        assert kept == {**posted, "url": changes.get("config_url", posted["url"])}


def test_a_url_and_headers_that_change_together_leave_the_template_alone(operator, acme):
    made = configure.create(acme, "generic_http", POSTED, name="g")
    changes = {"config_url": "https://example.com/new", "config_headers": '{"X-Key": "n"}'}
    assert save(operator, made, **changes).status_code == 302
    kept = Integration.objects.get().opened_config().dump_revealed()
    assert kept == {
        "url": "https://example.com/new",
        "headers": '{"X-Key":"n"}',
        "body_template": '{"m": {{.ID}}}',
    }
    assert save(operator, Integration.objects.get(), config_body_template="").status_code == 302
    assert "body_template" not in Integration.objects.get().config


def test_a_change_of_the_name_alone_moves_nothing(operator, datadog):
    before, place = Integration.objects.get(), place_of(datadog)
    save(operator, datadog, name="renamed")
    after = Integration.objects.get()
    assert (after.event_types, after.mapping, place_of(datadog)) == (before.event_types, before.mapping, place)


# --- How far it is


@pytest.fixture
def failing(datadog, events):
    """The integration with a batch that was tried twice."""
    Position.objects.filter(destination_id=datadog.pk).update(
        xid=0, event_id=0, due_at=timezone.now() + timedelta(minutes=5)
    )
    first, last = events[0], events[-1]
    Batch.objects.create(
        destination_id=datadog.pk,
        number=1,
        members=[first.pk],
        count=1,
        first_event=first.pk,
        last_event=last.pk,
        last_xid=last.xid,
        tries=2,
        status=503,
        reason=HOSTILE,
    )
    return datadog


def test_the_pages_say_how_far_it_is_and_what_it_waits_for(operator, failing):
    listed, page = (operator.get(address).content.decode() for address in (LIST, page_of(failing)))
    for seen in (listed, page):
        assert HOSTILE not in seen
        assert KEY not in seen
        assert escape(HOSTILE)[:30] in seen
        assert "in 4 min" in seen
    assert "tries so far: 2" in page
    assert "<td>503</td>" in page


def test_the_list_costs_no_more_with_a_larger_backlog(operator, failing, django_assert_max_num_queries):
    with django_assert_max_num_queries(20):
        operator.get(LIST)


# --- What can be done with it


def test_pause_and_resume(operator, datadog):
    operator.post(page_of(datadog, "pause"))
    assert Integration.objects.get().state == "paused"
    operator.post(page_of(datadog, "resume"))
    assert Integration.objects.get().state == "active"
    operator.post(LIST, {"action": "pause_chosen", "_selected_action": [datadog.pk]})
    assert Integration.objects.get().state == "paused"


def test_a_test_shows_what_came_of_it(operator, acme):
    with Receiver() as receiver:
        well = configure.create(acme, "generic_http", {"url": receiver.url()}, name="well")
        assert "It arrived" in operator.post(page_of(well, "test")).content.decode()
    with Receiver(lambda got: answer(401, body=b"who are you?")) as receiver:
        ill = configure.create(acme, "generic_http", {"url": receiver.url()}, name="ill")
        page = operator.post(page_of(ill, "test")).content.decode()
    assert "who are you?" in page
    assert "The settings of the integration" in page
    assert not Batch.objects.exists()


def test_what_was_sent_since_a_moment_is_sent_again(operator, datadog, events):
    Position.objects.filter(destination_id=datadog.pk).update(xid=events[-1].xid, event_id=events[-1].pk)
    since = timezone.now() - timedelta(hours=3)
    operator.post(page_of(datadog, "replay"), {"moment": f"{since:%Y-%m-%dT%H:%M}"})
    position = Position.objects.get(destination_id=datadog.pk)
    assert position.replay == LogPlace(events[1].xid, events[1].pk - 1)
    assert (
        position.place == position.until == LogPlace(events[-1].xid, events[-1].pk)
    )  # nothing after it comes twice
    assert LogEntry.objects.get().change_message.startswith("Replayed since")


def test_a_replay_under_way_says_how_far_it_is_and_can_be_stopped(operator, datadog, events):
    Position.objects.filter(destination_id=datadog.pk).update(xid=events[-1].xid, event_id=events[-1].pk)
    assert "A replay is under way" not in operator.get(page_of(datadog)).content.decode()
    since = timezone.now() - timedelta(hours=3)
    operator.post(page_of(datadog, "replay"), {"moment": f"{since:%Y-%m-%dT%H:%M}"})
    Position.objects.filter(destination_id=datadog.pk).update(replay_event_id=events[1].pk)
    come, last = (marks.write_clock(Event.objects.get(pk=event.pk).received_at) for event in events[1:])
    shown = f"A replay is under way, sent until {come} by now. What came until {last} is sent again."
    page = operator.get(page_of(datadog)).content.decode()
    assert shown in page
    assert page_of(datadog, "stop_replay") in page
    assert "replay_moment" not in page
    page = operator.post(page_of(datadog, "stop_replay"), follow=True).content.decode()
    assert "Stopped" in page
    assert "A replay is under way" not in page
    assert Position.objects.get(destination_id=datadog.pk).replay is None
    page = operator.post(page_of(datadog, "stop_replay"), follow=True).content.decode()
    assert "no replay was under way" in page
    told = [Event.objects.order_by("-id")[number].document for number in (0, 1)]
    assert [one["initiator_name"] for one in told] == ["operator"] * 2
    assert [next(iter(set(one["meta"]) & {"replay", "replay_since"})) for one in told] == [
        "replay",
        "replay_since",
    ]


@pytest.mark.parametrize(
    ("moment", "said"), [("", "say since when"), ("x", "say since when"), (None, "It comes anyway")]
)
def test_sending_again_skips_nothing_that_is_still_to_come(operator, datadog, events, moment, said):
    Position.objects.filter(destination_id=datadog.pk).update(xid=events[0].xid, event_id=events[0].pk)
    if moment is None:
        moment = f"{timezone.now() - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    page = operator.post(page_of(datadog, "replay"), {"moment": moment}, follow=True).content.decode()
    assert said in page
    assert place_of(datadog).event_id == events[0].pk


def test_who_may_only_look_does_nothing_to_it(sign_in, datadog):
    client = sign_in("view_integration")
    page = client.get(page_of(datadog)).content.decode()
    assert "/test/" not in page
    assert KEY not in page
    for button in ("pause", "resume", "test", "replay", "stop_replay"):
        assert client.post(page_of(datadog, button)).status_code == 403
        assert client.get(page_of(datadog, button)).status_code == 405
    assert client.get(ADD).status_code == 403


def test_the_audit_event_names_who_pressed_the_button(operator, datadog):
    for button in ("pause", "resume"):
        operator.post(page_of(datadog, button))
        told = Event.objects.latest("id").document
        assert (told["activity_code"], told["initiator_name"]) == ("integration.update", "operator")


def test_deleting_keeps_the_row_without_its_secrets(operator, datadog):
    operator.post(page_of(datadog, "delete"), {"post": "yes"})
    gone = Destination.objects.get()
    assert gone.deleted_at
    assert gone.sealed_secrets == ""
