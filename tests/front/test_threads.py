"""Nobody has all threads, who waits is answered in turn, and what may hang has threads of its own."""

from __future__ import annotations

import ast
import asyncio
import threading
import time
from pathlib import Path

import pytest

from eventsinks.actions import configure
from eventsinks.front.answers import Gone, Refusal, WholeRequest
from eventsinks.front.threads import Threads
from eventsinks.front.worldly import is_worldly
from tests.front.conftest import ALERT, head, read_answer, until

ROOT = Path(__file__).parents[2] / "eventsinks"


class Work:
    """Work that lasts until it is let go; counts who is at it at once."""

    def __init__(self):
        self.now, self.most, self.done = [], {}, []
        self.go = threading.Event()
        self.lock = threading.Lock()

    def of(self, caller):
        """Return work of a caller."""

        def work():
            with self.lock:
                self.now.append(caller)
                self.most[caller] = max(self.most.get(caller, 0), self.now.count(caller))
            assert self.go.wait(20)
            with self.lock:
                self.now.remove(caller)
                self.done.append(caller)
            return caller

        return work


async def at_work(work, count):
    """Wait until so many are at work."""
    async with asyncio.timeout(20):
        while len(work.now) < count:
            await asyncio.sleep(0.01)


def test_one_caller_gets_three_quarters_and_the_rest_is_for_others():
    async def scene():
        threads, work = Threads("test", 8, 1000), Work()
        greedy = [asyncio.create_task(threads.run("greedy", work.of("greedy"))) for _ in range(100)]
        await at_work(work, 6)
        await asyncio.sleep(0.05)
        assert (threads.busy, threads.waiting) == (6, 94)
        assert await asyncio.wait_for(threads.run("other", lambda: "answered"), 20) == "answered"
        others = [asyncio.create_task(threads.run("other", work.of("other"))) for _ in range(3)]
        await at_work(work, 8)
        assert work.most == {"greedy": 6, "other": 2}
        work.go.set()
        await asyncio.gather(*greedy, *others)
        assert work.most["greedy"] == 6
        assert (threads.busy, threads.waiting) == (0, 0)

    asyncio.run(scene())


def test_who_waits_is_answered_in_turn_and_not_after_all_of_another():
    async def scene():
        threads, work = Threads("test", 2, 1000), Work()
        first = [asyncio.create_task(threads.run(name, work.of(name))) for name in ("x", "y")]
        await at_work(work, 2)
        crowd = [asyncio.create_task(threads.run("crowd", work.of("crowd"))) for _ in range(50)]
        await asyncio.sleep(0)
        late = asyncio.create_task(threads.run("late", work.of("late")))
        await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*first, *crowd, late)
        assert work.done.index("late") < 8

    asyncio.run(scene())


def test_a_full_queue_refuses_and_one_caller_fills_but_half_of_it():
    async def scene():
        threads, work = Threads("test", 1, 10), Work()
        tasks = [asyncio.create_task(threads.run("a", work.of("a"))) for _ in range(6)]
        await at_work(work, 1)
        with pytest.raises(Refusal) as refused:
            await threads.run("a", work.of("a"))
        assert refused.value.answer.status == 503
        assert (b"retry-after", b"1") in refused.value.answer.headers
        tasks += [asyncio.create_task(threads.run("b", work.of("b"))) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal):
            await threads.run("c", work.of("c"))
        work.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(scene())


def test_who_has_gone_or_was_called_off_takes_no_thread():
    async def scene():
        threads, work = Threads("test", 1, 100), Work()
        first = asyncio.create_task(threads.run("a", work.of("a")))
        await at_work(work, 1)
        gone = asyncio.create_task(threads.run("b", work.of("b"), lambda: True))
        called_off = asyncio.create_task(threads.run("c", work.of("c")))
        last = asyncio.create_task(threads.run("d", work.of("d")))
        await asyncio.sleep(0)
        called_off.cancel()
        work.go.set()
        assert (await first, await last) == ("a", "d")
        with pytest.raises(Gone):
            await gone
        assert work.done == ["a", "d"]
        assert (threads.busy, threads.waiting) == (0, 0)

    asyncio.run(scene())


def test_what_work_raises_is_raised_and_its_thread_goes_on():
    async def scene():
        threads = Threads("test", 1, 10)
        with pytest.raises(ZeroDivisionError):
            await threads.run("a", lambda: 1 / 0)
        assert await threads.run("a", lambda: 1) == 1

    asyncio.run(scene())


# --- What may hang ---------------------------------------------------------------------------------


def asked(line, body=b""):
    """Return a request."""
    method, path = line.split(" ")
    return WholeRequest({"method": method, "path": path}, body, "", "", "", lambda: False)


HANGING = [
    "POST /v1/event_sink/6/test",
    "DELETE /v1/slack_integration/6",
    "POST /api/event-streaming",
    "PUT /api/event-streaming/6",
    "POST /api/event-streaming/6/test",
    "POST /api/integrations/event-streaming",
    "PUT /api/integrations/event-streaming/6",
    "POST /api/integrations/event-streaming/6/test",
    "GET /slack/oauth/callback",
    "POST /admin/eventsinks/eventsink/6/test/",
    "POST /admin/eventsinks/integration/6/test/",
    "POST /admin/eventsinks/slackworkspace/6/delete/",
    "POST /admin/eventsinks/slackworkspace/",
]
PROMPT = [
    "GET /v1/event_sink/6/test",
    "POST /v1/detection_alert",
    "POST /v1/event_sink/6/pause",
    "GET /api/event-streaming",
    "POST /api/event-streaming/6/pause",
    "GET /admin/eventsinks/eventsink/6/test/",
    "POST /admin/eventsinks/eventsink/6/pause/",
    "POST /admin/login/",
]


@pytest.mark.parametrize("line", HANGING)
def test_what_asks_the_world_is_told_from_what_does_not(line):
    assert is_worldly(asked(line))


@pytest.mark.parametrize("line", PROMPT)
def test_what_does_not_ask_the_world_keeps_its_threads(line):
    assert not is_worldly(asked(line))


def test_a_new_sink_asks_slack_where_it_brings_a_code_however_that_is_written():
    line = "POST /v1/event_sink"
    assert not is_worldly(asked(line, b'{"event_sink_args": {"Webhook": {"url": "https://example.com"}}}'))
    assert is_worldly(asked(line, b'{"event_sink_args": {"Slack": {"slack_oauth_code": "x"}}}'))
    assert is_worldly(asked(line, b'{"event_sink_args": {"Slack": {"slack\\u005foauth_code": "x"}}}'))


# Each module outside actions that calls what goes out, with what of it HANGING stands for.
WHO_GO_OUT = {
    "admin/integrations/health.py": {"probe_connection"},
    "admin/sinks/page.py": {"try_out"},
    "admin/tenants/slack_workspaces.py": {"uninstall"},
    "api/netbird/integrations.py": {"probe_connection"},
    "api/netbird/verbs.py": {"probe_destination"},
    "api/v1/event_sink_verbs.py": {"try_out"},
    "api/v1/slack_integration.py": {"uninstall"},
    "api/v1/slack_pages.py": {"finish_installation"},
    "api/v1/event_sink.py": {"install"},
}
GOING_OUT = {
    "try_out",
    "probe_connection",
    "probe_destination",
    "send_now",
    "install",
    "finish_installation",
    "uninstall",
    "revoke_token",
    "exchange_code",
}
MODULES = {"try_out", "probe", "send_now", "install", "slack_install"}


def names_called(path):
    """Return what of actions that goes out a module calls."""
    tree = ast.parse(path.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    brought = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("eventsinks.actions")
        for alias in node.names
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in MODULES & brought:
            found.add(node.func.attr)
        if isinstance(node.func, ast.Name) and node.func.id in brought - own:
            found.add(node.func.id)
    return found & GOING_OUT


def test_nobody_else_goes_out_while_a_request_waits():
    """A new one belongs into front/worldly.py, and here."""
    doors = [path for door in ("api", "admin") for path in (ROOT / door).rglob("*.py")]
    assert {str(path.relative_to(ROOT)): names for path in doors if (names := names_called(path))} == WHO_GO_OUT


# --- The real server -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(serve):
    return serve(EVENTSINKS_WEB_THREADS="4", EVENTSINKS_TRIAL_THREADS="2", EVENTSINKS_WEB_WAITING="40")


@pytest.fixture
def hanging():
    """Return the URL of a receiver that takes connections and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.django_db(transaction=True)
def test_64_tests_of_a_sink_that_hangs_keep_nobody_waiting(
    server, acme_key, globex_key, make_webhook, acme, hanging
):
    sink = make_webhook(hanging)
    integration = configure.create(acme, "generic_http", {"url": hanging}, name="hangs")
    create = b'{"platform": "generic_http", "enabled": true, "config": {"url": "%s"}}' % hanging.encode()
    asks = [
        head(f"POST /v1/event_sink/{sink.uuid}/test", key=acme_key),
        head(f"POST /api/event-streaming/{integration.pk}/test", key=acme_key),
        head("POST /api/event-streaming", body=create, key=acme_key) + create,
        head("POST /api/integrations/event-streaming", body=create, key=acme_key) + create,
    ]
    for key in (acme_key, globex_key):
        assert server.ask("GET /v1/event_sink", key=key)[0] == 200
    clients = [server.connect(asks[number % 4]) for number in range(64)]
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            began = time.monotonic()
            assert server.ask("POST /v1/detection_alert", body=ALERT, key=globex_key)[0] == 200
            assert server.ask("GET /v1/event_sink", key=acme_key)[0] == 200
            assert server.answers()
            assert time.monotonic() - began < 2
        refused = 0
        for client in clients:
            client.settimeout(0.01)
            try:
                status, headers, _ = read_answer(client)
            except TimeoutError:
                continue
            assert (status, headers["retry-after"]) == (503, "1")
            refused += 1
        assert refused >= 64 - 40 - 2, "what does not fit into the queue is told so at once"
    finally:
        for client in clients:
            client.close()


@pytest.mark.django_db(transaction=True)
def test_a_tenant_who_floods_leaves_room_for_another(server, acme_key, globex_key, make_alert):
    for _ in range(50):
        make_alert()
    for key in (acme_key, globex_key):
        assert server.ask("GET /v1/event_sink", key=key)[0] == 200
    stop, answers = threading.Event(), []

    def flood():
        while not stop.is_set():
            answers.append(server.ask("GET /v1/detection_alert?page_size=1000", key=acme_key)[0])

    crowd = [threading.Thread(target=flood) for _ in range(30)]
    for one in crowd:
        one.start()
    try:
        assert until(lambda: len(answers) > 5)
        for _ in range(20):
            began = time.monotonic()
            assert server.ask("GET /v1/event_sink", key=globex_key)[0] == 200
            assert time.monotonic() - began < 3
    finally:
        stop.set()
        for one in crowd:
            one.join()
    assert set(answers) <= {200, 503}
