"""Every page of every model renders with data, shows no secret, and runs nothing that came from outside."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.silence import make_silence
from eventsinks.models import Attempt, Batch, Delivery, Event, Integration
from eventsinks.models.options import Options
from eventsinks.sending.hold import park
from tests.admin.conftest import HEADER, HOSTILE, ROUTING_KEY, TOKEN
from tests.helpers.replays import start

API_KEY = "never-to-be-seen-by-anybody-0123"
MODELS = (
    *("tenant", "apikey", "eventsink", "integration", "silence"),
    *("slackworkspace", "event", "delivery", "replay"),
)


@pytest.fixture
def world(acme, workspace, make_webhook, make_alert, make_attempt, in_state, acme_key):
    """Something of every sort, hostile wherever the outside may write, secret wherever that is possible."""
    acme.name = HOSTILE
    acme.save()
    workspace.team_name = HOSTILE
    workspace.save()
    headers = {"Authorization": HEADER, "X-Other": HOSTILE}
    sink = make_webhook(name=HOSTILE, description=HOSTILE, config={"headers": headers})
    configure.create(acme, "pagerduty", {"integration_key": ROUTING_KEY}, name="pager")
    slack = {"slack_integration_id": str(workspace.id), "channel_name": "alerts"}
    configure.create(acme, "slack", slack, name="slack")
    options = Options.model_validate(
        {"quiet": {"dedup_window_s": 60}, "alert_template": {"info": [{"label": HOSTILE, "value": HOSTILE}]}}
    )
    configure.change(sink, options=options)
    stream = configure.create(
        acme, "datadog", {"api_key": API_KEY, "site": "datadoghq.eu"}, name=HOSTILE, description=HOSTILE
    )
    park(stream.pk, stream.version, HOSTILE)
    ends_at = timezone.now() + timedelta(hours=1)
    make_silence(acme, reason=HOSTILE, author=HOSTILE, ends_at=ends_at, filter="name == 'never'")
    make_alert(id=HOSTILE, name=HOSTILE, description=HOSTILE, results_table={"rows": [{HOSTILE: HOSTILE}]})
    delivery = Delivery.objects.filter(destination_id=sink.pk).get()
    make_attempt(delivery, reason=HOSTILE, excerpt=HOSTILE, peer=HOSTILE)
    in_state(delivery, "failed", reason=HOSTILE, status=503, tries=10)
    start(sink, timezone.now() - timedelta(hours=1), reason=HOSTILE)
    configure.pause(sink, HOSTILE)
    return {
        "acme": acme,
        "sink": sink,
        "delivery": delivery,
        "secrets": [TOKEN, HEADER, ROUTING_KEY, API_KEY, acme_key],
    }


def every_page(world):
    yield reverse("admin:index")
    for model in MODELS:
        name = f"eventsinks_{model}"
        yield reverse(f"admin:{name}_changelist")
        for row in admin.site.get_model_admin(model_of(model)).model._default_manager.all():
            yield reverse(f"admin:{name}_change", args=[row.pk])
            yield reverse(f"admin:{name}_history", args=[row.pk])
    yield reverse("admin:eventsinks_eventsink_delete", args=[world["sink"].pk])
    for model in ("tenant", "apikey", "eventsink", "integration", "silence", "slackworkspace", "replay"):
        yield reverse(f"admin:eventsinks_{model}_add")
    for type in ("webhook", "pagerduty", "slack"):
        add = reverse("admin:eventsinks_eventsink_add")
        yield f"{add}?type={type}&tenant={world['acme'].pk}"
    yield f"{reverse('admin:eventsinks_integration_add')}?type=datadog&tenant={world['acme'].pk}"
    yield f"{reverse('admin:eventsinks_silence_add')}?tenant={world['acme'].pk}&reason=%3Cscript%3Ealert('it+ran')"
    for name in ("admin_logentry", "auth_user", "auth_group"):
        yield reverse(f"admin:{name}_changelist")
    yield reverse("admin:auth_user_add")
    yield reverse("admin:eventsinks_delivery_changelist") + "?state__exact=failed&since=day"
    yield reverse("admin:eventsinks_delivery_changelist") + f"?sink={world['sink'].pk}"


def model_of(name):
    return next(model for model in admin.site._registry if model._meta.label_lower == f"eventsinks.{name}")


@pytest.mark.guarantee("S18")
def test_every_page_renders_escapes_what_is_hostile_and_shows_no_secret(operator, world):
    seen = 0
    for address in every_page(world):
        response = operator.get(address)
        page = response.content.decode()
        assert response.status_code == 200, address
        assert HOSTILE not in page, address
        assert "<script>alert" not in page, address
        for secret in world["secrets"]:
            assert secret not in page, address
        assert "script-src 'self' 'unsafe-eval';" in response.headers["Content-Security-Policy"]
        seen += "&lt;script&gt;alert" in page
    assert seen > 10


def test_no_page_asks_another_server_for_anything(operator, world):
    for address in every_page(world):
        page = operator.get(address).content.decode()
        for attribute in ('src="http', 'src="//', '<link href="http', "url(http"):
            assert attribute not in page, address


@pytest.mark.parametrize("model", MODELS)
def test_a_page_is_closed_to_who_may_not_see_it(sign_in, world, model):
    client = sign_in()
    assert client.get(reverse(f"admin:eventsinks_{model}_changelist")).status_code == 403


def test_who_may_only_look_sees_the_configuration_with_its_secrets_masked(sign_in, world):
    client = sign_in("view_eventsink")
    page = client.get(reverse("admin:eventsinks_eventsink_change", args=[world["sink"].pk])).content.decode()
    assert "https://example.com/hook" in page
    assert "****" in page
    assert 'name="config_url"' not in page
    assert "/pause/" not in page
    assert "Show the signing secret" not in page


def test_an_event_of_a_type_that_only_a_newer_version_knows_has_its_pages(operator, world):
    Event.objects.filter(type="detection_alert").update(type="of_tomorrow")
    delivery = Delivery.objects.filter(event__type="of_tomorrow").first()
    for model, row in (("event", delivery.event_id), ("delivery", delivery.pk)):
        for page in ("changelist", "change"):
            address = reverse(f"admin:eventsinks_{model}_{page}", args=[row] if page == "change" else [])
            assert operator.get(address).status_code == 200, address


@pytest.mark.parametrize("model", ["delivery", "event"])
def test_what_happened_is_not_added_changed_or_deleted_by_hand(operator, world, model):
    row = {"delivery": Delivery, "event": Event}[model].objects.first()
    assert operator.get(reverse(f"admin:eventsinks_{model}_add")).status_code == 403
    assert (
        operator.post(reverse(f"admin:eventsinks_{model}_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 403
    )
    change = reverse(f"admin:eventsinks_{model}_change", args=[row.pk])
    assert operator.post(change, {"state": "delivered", "key": "other"}).status_code == 403
    everything = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    operator.post(reverse(f"admin:eventsinks_{model}_changelist"), everything)
    assert type(row).objects.filter(pk=row.pk).exists()


def test_attempts_have_no_page_on_which_they_could_be_changed():
    assert Attempt not in admin.site._registry
    inlines = [inline.model for page in admin.site._registry.values() for inline in page.inlines]
    assert Attempt not in inlines


def test_a_tenant_is_not_deleted(operator, world):
    assert operator.get(reverse("admin:eventsinks_tenant_delete", args=[world["acme"].pk])).status_code == 403


def test_the_overview_names_integrations_in_trouble_and_silences_in_force(operator, world):
    page = operator.get(reverse("admin:index"))
    (stuck,), (silenced,) = page.context["stuck"]["first"], page.context["silences"]["first"]
    assert "Disabled" in stuck.chip
    assert "ends" in silenced
    integration = Integration.objects.get()
    configure.resume(integration)
    assert not operator.get(reverse("admin:index")).context["stuck"]["first"]
    batch = {"destination_id": integration.pk, "number": 1, "count": 1, "first_event": 1, "last_event": 1}
    Batch.objects.create(**batch, last_xid=0, members=[1], tries=1, reason="503 overloaded")
    (failing,) = operator.get(reverse("admin:index")).context["stuck"]["first"]
    assert (failing.word, failing.reason) == ("trying again", "503 overloaded")


def test_the_overview_shows_each_what_they_may_see(sign_in, world):
    context = sign_in("view_delivery").get(reverse("admin:index")).context
    assert "stuck" not in context
    assert "silences" not in context
