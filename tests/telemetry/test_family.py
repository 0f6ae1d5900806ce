"""A web server of several processes tells one truth, whichever of them is asked; and a counter never goes back."""

import contextlib
import http.client
import os
import signal
from pathlib import Path

import pytest

from eventsinks.telemetry.family import Sum
from tests.helpers.broker import broker, free_port
from tests.helpers.system import System, ask, own_database, until

PAGE = """# TYPE eventsinks_tries counter
eventsinks_tries_total{{type="webhook"}} {count}
# TYPE eventsinks_held gauge
eventsinks_held {count}
# TYPE eventsinks_took histogram
eventsinks_took_bucket{{le="1.0"}} {count}
eventsinks_took_bucket{{le="+Inf"}} {count}
eventsinks_took_count {count}
eventsinks_took_sum {count}
# TYPE process_start_time_seconds gauge
process_start_time_seconds {count}
"""


def add_up(*pages):
    """Return the values of the sum of pages by name."""
    return {sample.name: sample.value for family in Sum(pages).collect() for sample in family.samples}


def test_counts_are_added_up_and_of_the_dead_only_what_grows():
    found = add_up((PAGE.format(count=5), True), (PAGE.format(count=7), True), (PAGE.format(count=100), False))
    assert found["eventsinks_tries_total"] == 112
    assert found["eventsinks_took_bucket"] == found["eventsinks_took_count"] == 112
    assert found["eventsinks_held"] == 12
    assert found["process_start_time_seconds"] == 7


@pytest.fixture
def place(tmp_path):
    """Return where a web server of three processes listens, and a key."""
    with broker(tmp_path) as opened, own_database(tmp_path, "family") as url:
        system = System(tmp_path, url, opened.url, EVENTSINKS_WEB_PROCESSES="3")
        try:
            system.manage("migrate")
            tenant = system.manage("create_tenant", "Acme").split()[-1]
            key = system.manage("issue_key", tenant).split()[-1]
            place = f"127.0.0.1:{free_port()}"
            yield place, key, system.serve(place)
        finally:
            system.close()


def count_posts(place):
    """Return how many POSTs of events the web server says that it has answered."""
    client = http.client.HTTPConnection(place, timeout=10)  # a new one each time: any process may take it
    client.request("GET", "/metrics", headers={"Host": "localhost"})
    page = client.getresponse().read().decode()
    client.close()
    values = [
        float(line.split()[-1]) for line in page.splitlines() if line.startswith("eventsinks_door_requests_total")
    ]
    return sum(values)


def find_children(process):
    """Return the ids of the processes that a web server has spawned."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may have ended
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"spawn_main" in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


@pytest.mark.django_db(transaction=True)
def test_whoever_is_asked_tells_the_counts_of_all_and_a_death_takes_none_away(place):
    place, key, process = place
    for number in range(30):
        assert ask(place, "POST", "/v1/detection_alert", {"name": str(number), "severity": "Low"}, key)[0] == 200
    assert until(lambda: count_posts(place) == 30, 10)  # a page may be a second old
    assert {count_posts(place) for _ in range(20)} == {30}
    killed = find_children(process)[0]
    os.kill(killed, signal.SIGKILL)
    assert until(lambda: len(set(find_children(process)) - {killed}) == 3, 60)
    assert {count_posts(place) for _ in range(20)} == {30}
