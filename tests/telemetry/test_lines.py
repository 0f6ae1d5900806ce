"""The log: with LOG_FORMAT=json, whatever the processes say is one object a line, which says whose it is."""

import json

import pytest

from tests.helpers.broker import broker, free_port
from tests.helpers.receiver import Receiver, answer
from tests.helpers.system import System, ask, own_database, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def system(tmp_path):
    folder = tmp_path / "system"
    folder.mkdir()
    with broker(tmp_path) as opened, own_database(folder, "lines") as url:
        settings = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "EVENTSINKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
        made = System(folder, url, opened.url, **settings)
        made.manage("migrate")
        try:
            yield made
        finally:
            made.close()


def read_lines(system):
    """Return the objects of all lines that the processes have written. Raises ValueError if one is no object."""
    found = []
    for path in sorted(system.folder.glob("*.log")):
        for line in path.read_text().splitlines():
            one = json.loads(line)
            assert isinstance(one, dict), line
            assert {"timestamp", "level", "event"} <= one.keys(), line
            assert not str(one["event"]).startswith("{"), line  # an object in an object: escaped twice
            found.append(one)
    return found


def of(lines, event):
    return [line for line in lines if line["event"] == event]


@pytest.mark.guarantee("O5")
def test_each_request_try_batch_and_change_is_one_object_that_names_whose_it_is(system):
    tenant = system.manage("create_tenant", "Acme")
    key = system.manage("issue_key", tenant)
    place = f"127.0.0.1:{free_port()}"
    system.serve(place), system.work(), system.beat()
    with Receiver(lambda got: answer(503 if got.path.startswith("/ill") else 200)) as receiver:
        for name in ("well", "ill"):
            args = {"Webhook": {"url": receiver.url(f"/{name}?token=hidden-in-the-query")}}
            sink = {"tenant_id": tenant, "name": name, "description": "", "event_sink_args": args}
            assert ask(place, "POST", "/v1/event_sink", sink, key)[0] == 200
        config = {"url": receiver.url("/stream")}
        stream = {"platform": "generic_http", "config": config, "enabled": True}
        assert ask(place, "POST", "/api/event-streaming", stream, key)[0] == 200
        for number in range(6):
            alert = {"id": f"alert-{number}", "name": 'a "quoted"\nname', "severity": "Low"}
            assert ask(place, "POST", "/v1/detection_alert", alert, key)[0] == 200
        assert ask(place, "GET", "/v1/event_sink/nobody?token=hidden-in-the-query", None, key)[0] == 404

        def all_is_said():
            lines = read_lines(system)
            tries = of(lines, "delivery.tried")
            outcomes = {line["outcome"] for line in tries}
            posts = [
                line for line in of(lines, "request.answered") if line.get("event_key", "").startswith("alert-")
            ]
            return len(posts) == 6 and {"delivered", "temporary"} <= outcomes and of(lines, "batch.tried")

        assert until(all_is_said, 60), system.read_logs()
    system.close()
    lines = read_lines(system)
    posts = [line for line in of(lines, "request.answered") if line.get("event_key", "").startswith("alert-")]
    assert {line["event_key"] for line in posts} == {f"alert-{number}" for number in range(6)}
    for line in posts:
        assert (line["tenant"], line["status"], line["path"]) == (tenant, 200, "/v1/detection_alert")
        assert line["request_id"]
    tried = of(lines, "delivery.tried")
    assert {line["event_id"] for line in tried} >= {line["event_id"] for line in posts}
    assert all(line["tenant"] == tenant and line["delivery"] and line["type"] == "webhook" for line in tried)
    (made, *_) = [line for line in of(lines, "change.recorded") if line["activity_code"] == "integration.create"]
    assert made["tenant"] == tenant
    assert made["initiator_id"]
    assert made["request_id"] in {line["request_id"] for line in of(lines, "request.answered")}
    assert of(lines, "batch.tried")[0]["events"] >= 1
    assert "hidden-in-the-query" not in "".join(json.dumps(line) for line in lines)


def test_requests_are_no_lines_where_the_operator_does_not_want_them(system):
    system.environment["LOG_REQUESTS"] = "false"
    place = f"127.0.0.1:{free_port()}"
    process = system.serve(place)
    assert ask(place, "GET", "/v1/event_sink")[0] == 401
    system.stop(process)
    assert not of(read_lines(system), "request.answered")


def test_what_was_not_written_yet_is_written_at_the_end(system):
    place = f"127.0.0.1:{free_port()}"
    process = system.serve(place)
    assert ask(place, "GET", "/v1/event_sink")[0] == 401
    system.stop(process)
    (line,) = of(read_lines(system), "request.answered")
    assert (line["status"], line["level"], line["method"]) == (401, "info", "GET")
