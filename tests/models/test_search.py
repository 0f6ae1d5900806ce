"""Search: an alert is found by what it says, soon after it came, and by nobody whose it is not."""

import json
import threading
import time

import pytest
from django.db import connection, transaction

from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.models import AlertWords, Event, SearchProgress
from eventsinks.models.search import find, progress
from eventsinks.models.search.find import Search, find_alerts, find_first_id
from eventsinks.sweeping.index_alerts import index_alerts

postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer")


@pytest.fixture
def make(make_alert, acme):
    """Accept an alert, index it, and return its id in the log."""

    def made(tenant=None, **fields):
        (event,) = make_alert(tenant, **fields).events
        while progress.count_behind():
            progress.index_next()
        return event.id

    return made


# --- The columns


def test_an_alert_has_what_people_look_for_it_by_as_columns(make_alert):
    make_alert(
        name="Root login\nagain",
        severity="critical",
        status="resolved",
        dedup_key="root\x00login",
        detection_rule_id="rule-7",
        tags=["aws", "tactics.ta0001"],
    )
    columns = ("title", "severity", "status", "dedup_key", "rule", "tags")
    assert Event.objects.values_list(*columns).get(type="detection_alert") == (
        "Root login again",
        5,
        "resolved",
        "root login",
        "rule-7",
        "aws\ntactics.ta0001",
    )


def test_long_texts_are_cut_and_their_document_is_not(make_alert):
    make_alert(name="n" * 10_000, detection_rule_id="r" * 9_000, tags=["t" * 300] * 40)
    event = Event.objects.get(type="detection_alert")
    assert (event.title, event.rule) == ("n" * 200, "r" * 200)
    assert event.tags == "\n".join(["t" * 300] * 3)
    assert event.document["name"] == "n" * 10_000


def test_an_audit_event_has_its_activity_as_title_and_a_flow_has_none(acme):
    accept(
        acme,
        event_type("audit"),
        [b'{"activity_code": "policy.add"}', b'{"activity_code":"x","activity":"Did it"}'],
    )
    found = Event.objects.order_by("id").values_list("title", "severity", "status")
    assert list(found) == [("Policy added", None, ""), ("Did it", None, "")]


def test_a_web_process_that_knows_no_columns_can_still_write(acme):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO eventsinks_event (tenant_id, type, key, data, digest, occurred_at, owed)"
            " VALUES (%s, 'detection_alert', 'old', %s, %s, CURRENT_TIMESTAMP, 0)",
            [acme.id if connection.vendor == "postgresql" else acme.id.hex, b'{"name":"Old"}', b"0"],
        )
    index_alerts()
    index_alerts()
    event = Event.objects.get()
    assert (event.title, event.severity, event.rule, event.tags) == ("", None, "", "")
    assert not AlertWords.objects.exists()


# --- Words and marks


@pytest.mark.parametrize(
    "words",
    ["root", "ROOT", "login roo", "Log", "rule-7", "initial_access", "ta0001", "zürich", "root root", "prod"],
)
def test_an_alert_is_found_by_beginnings_of_words_of_its_name_rule_or_tags(make, words):
    make(name="Somebody else", detection_rule_id="r-2")
    wanted = make(
        name="Root login from ZÜRICH",
        detection_rule_id="rule-7",
        tags=["tactics.ta0001.initial_access", "prod"],
    )
    assert find_alerts(Search(words=words), 10) == [wanted]


@pytest.mark.parametrize("words", ["oot", "root logout", "!!!", "'; --", '"', "tenant", "="])
def test_other_words_find_nothing_and_no_error(make, words):
    make(name="Root login")
    assert find_alerts(Search(words=words), 10) == []


@pytest.mark.parametrize(
    ("asked", "other"),
    [
        ({"severity": 5}, {"severity": 4}),
        ({"status": "resolved"}, {"status": "firing"}),
        ({"rule": "rule-7"}, {"rule": "rule"}),
        ({"tag": "a tag, and more"}, {"tag": "a tag"}),
        ({"dedup_key": "k\x001"}, {"dedup_key": "k"}),
        ({"words": "root", "severity": 5}, {"words": "root", "severity": 0}),
    ],
)
def test_an_alert_is_found_by_exactly_its_columns(make, asked, other):
    wanted = make(
        severity="Critical",
        status="resolved",
        detection_rule_id="rule-7",
        tags=["a tag, and more", "b"],
        dedup_key="k\x001",
    )
    assert find_alerts(Search(**asked), 10) == [wanted]
    assert find_alerts(Search(**other), 10) == []


def test_nobody_finds_what_is_another_tenants(make, acme, globex):
    own, others = make(name="Root login"), make(globex, name="Root login")
    assert find_alerts(Search(words="root", tenant_id=acme.id), 10) == [own]
    assert find_alerts(Search(words="root", tenant_id=globex.id), 10) == [others]
    assert find_alerts(Search(words="root"), 10) == [others, own]


@pytest.mark.parametrize("near", [2, 5_000])
def test_the_newest_come_first_page_after_page_wherever_they_are(make, monkeypatch, near):
    monkeypatch.setattr(find, "NEAR", near)
    ids = [make(name="Root login" if number % 2 else "Port scan") for number in range(10)]
    wanted = [id for number, id in enumerate(ids) if number % 2][::-1]
    asked = Search(words="root")
    assert find_alerts(asked, 10) == wanted
    assert find_alerts(asked, 2) == wanted[:2]
    assert find_alerts(asked, 2, before=wanted[1]) == wanted[2:4]


def test_a_time_bounds_what_is_found(make):
    first, second, third = (Event.objects.get(id=make()) for _ in range(3))
    between = Search(words="root", since=second.received_at, until=third.received_at)
    assert find_alerts(between, 10) == [second.id]
    assert find_first_id(first.received_at) <= first.id
    assert find_first_id(third.received_at) == third.id
    assert find_alerts(Search(words="root", until=first.received_at), 10) == []


# --- Behind the log


def test_each_alert_is_indexed_once_however_often_the_chore_runs(make, acme):
    ids = [make(name=f"Alert {number}") for number in range(3)]
    SearchProgress.objects.update(indexed=0)  # as a backup would leave it
    index_alerts()
    assert sorted(AlertWords.objects.values_list("event_id", flat=True)) == ids
    assert progress.count_behind() == 0


def test_one_step_is_bounded_and_the_page_can_tell_how_far_it_is_behind(make_alert, monkeypatch):
    monkeypatch.setattr(progress, "AT_ONCE", 2)
    monkeypatch.setattr(progress, "AT_ONCE_ON_SQLITE", 2)
    first, *_ = [make_alert().events[0].id for _ in range(5)]
    SearchProgress.objects.create(id=1, indexed=first - 1)
    assert progress.count_behind() == 5
    assert progress.index_next()
    assert AlertWords.objects.count() == 2
    assert progress.count_behind() == 3
    while progress.count_behind():
        progress.index_next()
    assert AlertWords.objects.count() == 5


def test_what_is_deleted_with_its_event_is_found_no_more(make):
    kept, gone = make(name="Root login"), make(name="Root login")
    AlertWords.objects.filter(event_id__in=[gone]).delete()
    Event.objects.filter(id=gone).delete()
    assert find_alerts(Search(words="root"), 10) == [kept]


@postgresql
@pytest.mark.django_db(transaction=True)
def test_an_alert_that_is_committed_late_is_found_too(real_end_of_log, make_alert, acme):
    wrote, go = threading.Event(), threading.Event()

    def write_slowly():
        with transaction.atomic():
            document = json.dumps({"name": "Late one", "severity": "Low"}).encode()
            accept(acme, event_type("detection_alert"), [document])
            wrote.set()
            assert go.wait(20)
        connection.close()

    writer = threading.Thread(target=write_slowly)
    writer.start()
    try:
        assert wrote.wait(20)
        make_alert(name="Later one")
        for _ in range(3):
            index_alerts()
        assert find_alerts(Search(words="one"), 10) == []
    finally:
        go.set()
        writer.join()
    for _ in range(200):  # transactions of other tests may run yet
        index_alerts()
        if len(find_alerts(Search(words="one"), 10)) == 2:
            break
        time.sleep(0.1)
    assert len(find_alerts(Search(words="one"), 10)) == 2
