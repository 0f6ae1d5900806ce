"""What a tenant may have: counted where it is made, so that nobody passes a limit, however many ask at once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks.actions import configure, silence
from eventsinks.actions.replaying import replay_job, replay_stream
from eventsinks.actions.tenants import change_tenant, issue_key, revoke_key
from eventsinks.actions.usage import measure_usage
from eventsinks.limits import refusals
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import ApiKey, Destination, Event, Position, Replay, Silence, Tenant
from eventsinks.models.limits import NAMES, get_server_limits
from tests.helpers import replays
from tests.helpers.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)
URL = "https://example.com/hook"


def make_sink(tenant):
    return configure.create(tenant, "webhook", {"url": URL}, name="w")


def make_integration(tenant):
    return configure.create(tenant, "generic_http", {"url": URL}, name="i")


def make_silence(tenant):
    ends_at = timezone.now() + timedelta(hours=1)
    return silence.make_silence(tenant, reason="r", author="a", ends_at=ends_at)


def make_replay(tenant):
    return replays.start(make_sink(tenant), since=timezone.now() - timedelta(hours=1))


def make_stream_replay(tenant):
    """Replay what is in the log, to an integration that is at its end. (That it was made is an audit event.)"""
    made = make_integration(tenant)
    newest = Event.objects.filter(tenant=tenant).order_by("-id").first()
    Position.objects.filter(destination=made).update(xid=newest.xid, event_id=newest.id)
    return replay_stream.replay_stream(made, timezone.now() - timedelta(days=1))


THINGS = {
    "event_sinks": (make_sink, Destination),
    "integrations": (make_integration, Destination),
    "api_keys": (issue_key, ApiKey),
    "silences": (make_silence, Silence),
    "replays_at_once": (make_replay, Replay),
}


@pytest.mark.guarantee("S19")
@pytest.mark.parametrize("name", THINGS)
def test_many_at_once_do_not_pass_a_limit(acme, globex, limit, name):
    make, model = THINGS[name]
    limit(acme, **{name: 3})
    made = at_once(8, lambda index: make(Tenant.objects.get(id=acme.id)))
    assert model.objects.filter(tenant=acme).count() - 5 * (name == "replays_at_once") <= 3
    assert sum(isinstance(one, LimitReached) for one in made) == 5, made
    make(globex)


@pytest.mark.parametrize("name", THINGS)
def test_a_refusal_says_which_limit_it_was_and_what_is_used(acme, limit, name):
    limit(acme, **{name: 0})
    with pytest.raises(LimitReached) as reached:
        THINGS[name][0](acme)
    assert (reached.value.name, reached.value.limit, reached.value.used) == (name, 0, 0)
    assert f"the limit {name} of 0 is reached: 0 are used" in str(reached.value)


def test_a_limit_that_was_lowered_takes_nothing_away_and_lets_nothing_be_added(acme, limit):
    sinks = [make_sink(acme) for _ in range(3)]
    limit(acme, event_sinks=2)
    assert Destination.objects.of(acme).count() == 3
    configure.change(sinks[0], {"url": URL + "/other"})
    for sink in sinks[:2]:
        with pytest.raises(LimitReached):
            make_sink(acme)
        configure.delete(sink)
    make_sink(acme)


def test_a_limit_that_was_lowered_meanwhile_holds_for_who_read_the_tenant_before(acme):
    known = Tenant.objects.get(id=acme.id)
    assert known.limits.api_keys > 0
    change_tenant(acme, limits={"api_keys": 0})
    with pytest.raises(LimitReached):
        issue_key(known)


def test_what_has_ended_makes_room(acme, limit):
    limit(acme, api_keys=1, silences=1, replays_at_once=1)
    key, hush, again = issue_key(acme)[0], make_silence(acme), make_replay(acme)
    revoke_key(key)
    silence.end_silence(hush)
    replay_job.cancel_replay(again)
    issue_key(acme, expires_at=timezone.now() - timedelta(seconds=1))
    issue_key(acme), make_silence(acme), make_replay(acme)


def test_replays_of_sinks_and_of_integrations_share_their_limit(acme, limit):
    limit(acme, replays_at_once=1)
    assert make_stream_replay(acme)
    with pytest.raises(LimitReached):
        make_replay(acme)
    with pytest.raises(LimitReached):
        make_stream_replay(acme)


def test_replays_are_so_many_an_hour(acme, limit):
    limit(acme, replays_per_h=2)
    for _ in range(2):
        replay_job.cancel_replay(make_replay(acme))
    with pytest.raises(LimitReached) as reached:
        make_replay(acme)
    assert 1700 < reached.value.wait <= 1800


def test_an_operators_key_belongs_to_no_tenant_and_has_no_limit(settings):
    settings.EVENTSINKS_LIMITS = {"api_keys": 0}
    assert issue_key(None)


def test_the_servers_limits_hold_where_a_tenant_has_none_of_its_own(acme, settings):
    settings.EVENTSINKS_LIMITS = {"event_sinks": 7, "silences": 8}
    change_tenant(acme, limits={"silences": 9})
    acme.refresh_from_db()
    assert (acme.limits.event_sinks, acme.limits.silences) == (7, 9)
    change_tenant(acme, limits={"silences": None})
    acme.refresh_from_db()
    assert (acme.limits.silences, acme.own_limits) == (8, {})


def test_limits_changed_by_two_at_once_are_both_kept(acme):
    at_once(8, lambda index: change_tenant(acme, limits={NAMES[index]: index + 1}))
    acme.refresh_from_db()
    assert acme.own_limits == {NAMES[index]: index + 1 for index in range(8)}


def test_a_name_that_is_no_limit_any_more_is_passed_over(acme):
    Tenant.objects.filter(id=acme.id).update(own_limits={"of_yesterday": 3, "event_sinks": 4})
    acme.refresh_from_db()
    assert acme.limits == get_server_limits().model_copy(update={"event_sinks": 4})


def test_a_change_of_limits_is_in_the_tenants_audit_log(acme):
    change_tenant(acme, limits={"event_sinks": 4})
    (event,) = Event.objects.filter(type="audit")
    assert event.document["activity_code"] == "tenant.limits.update"
    assert event.document["meta"] == {"event_sinks": "100 → 4"}
    change_tenant(acme, name="Other")
    changes = [event.document["activity_code"] for event in Event.objects.filter(type="audit").order_by("id")]
    assert changes == ["tenant.limits.update", "tenant.update"]


def test_the_usage_tells_of_every_limit(acme, limit):
    limit(acme, event_sinks=1)
    make_sink(acme)
    for _ in range(2):
        with pytest.raises(LimitReached):
            make_sink(acme)
    found = measure_usage(acme)
    assert tuple(one.name for one in found.limits) == NAMES
    (sinks,) = [one for one in found.limits if one.name == "event_sinks"]
    assert (sinks.limit, sinks.used, sinks.refused, sinks.burst) == (1, 1, 2, None)
    assert found.since <= timezone.now()


def test_what_was_refused_is_counted_over_all_processes(shared_by_all, acme, globex, limit):
    limit(acme, event_sinks=0)
    for _ in range(2):
        with pytest.raises(LimitReached):
            make_sink(acme)
        assert dict(refusals.count_refusals(acme.id)[0])["event_sinks"]
        refusals.forget()  # what another process knows
    assert refusals.count_refusals(acme.id)[0] == {"event_sinks": 2}
    assert refusals.count_refusals(globex.id) == ({}, None)
