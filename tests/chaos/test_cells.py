"""Two cells: an installation each, with its own database and broker, behind one front that reads API keys."""

import os
import re
import shutil
import subprocess

import pytest

from tests.helpers.broker import broker, free_port
from tests.helpers.hosts import Relay
from tests.helpers.receiver import Receiver
from tests.helpers.system import ROOT, System, ask, clients, own_database, until

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = ("a", "b")


class Cell:
    """One installation with a web server, a worker and a beat."""

    def __init__(self, system):
        self.system, self.place = system, f"127.0.0.1:{free_port()}"
        system.manage("migrate")
        self.tenant = system.manage("create_tenant", "Acme")
        self.key = system.manage("issue_key", self.tenant)
        self.processes = [system.serve(self.place), system.work(), system.beat()]

    def stop(self):
        """Stop all of it."""
        for process in self.processes:
            self.system.stop(process)


@pytest.fixture
def cells(tmp_path):
    """Return two cells, by their names."""
    made = {}
    with own_database(tmp_path, "cell_a") as one, own_database(tmp_path, "cell_b") as other:
        folders = [tmp_path / name for name in NAMES]
        for folder in folders:
            folder.mkdir()
        with broker(folders[0]) as first, broker(folders[1]) as second:
            for name, folder, url, queue in zip(NAMES, folders, (one, other), (first, second), strict=True):
                options = {"EVENTSINKS_CELL": name, "EVENTSINKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
                made[name] = Cell(System(folder, url, queue.url, **options))
            yield made
            for cell in made.values():
                cell.system.close()


@pytest.fixture(params=["ours", "haproxy"])
def front(request, cells, tmp_path):
    """Return where one front for both cells listens: a few lines of our own, or HAProxy as we ship it."""
    if request.param == "ours":

        def choose(came):
            if b"\r\n\r\n" not in came:
                return None
            cell = cells[
                "b" if re.search(rb"(?i)^authorization: *(bearer|token) +es_b\.", came, re.MULTILINE) else "a"
            ]
            return cell.place.split(":")

        with Relay(choose) as relay:
            yield f"127.0.0.1:{relay.port}"
        return
    if not shutil.which("haproxy"):
        pytest.skip("there is no haproxy")
    place = f"127.0.0.1:{free_port()}"
    environment = {**os.environ, "FRONT": place, "CELL_A": cells["a"].place, "CELL_B": cells["b"].place}
    with (tmp_path / "haproxy.log").open("wb") as said:
        command = ["haproxy", "-f", str(ROOT / "deploy" / "haproxy.cfg")]
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    yield place
    process.terminate()
    process.wait(10)


def test_a_front_finds_the_cell_by_the_key_and_a_cell_that_is_down_harms_no_other(cells, front):
    assert [cell.key.split(".")[0] for cell in cells.values()] == ["es_a", "es_b"]
    assert until(lambda: ask(front, "GET", "/readyz")[0] == 200, 30)
    with Receiver() as receiver:
        for name, cell in cells.items():
            sink = {
                "name": name,
                "description": "",
                "event_sink_args": {"Webhook": {"url": receiver.url(f"/{name}")}},
            }
            assert ask(front, "POST", "/v1/event_sink", {"tenant_id": cell.tenant, **sink}, cell.key)[0] == 200
        with clients([front], cells["a"].key, 2) as of_a, clients([front], cells["b"].key, 2) as of_b:
            assert until(lambda: min(len(receiver.ids("/a")), len(receiver.ids("/b"))) > 20, 180)
            cells["b"].stop()
            before = len(receiver.ids("/a"))
            assert until(lambda: len(receiver.ids("/a")) > before + 20, 180)
            restarted = cells["b"].system
            restarted.serve(cells["b"].place), restarted.work(), restarted.beat()
        answered = {
            "/a": sum(len(client.answered) for client in of_a),
            "/b": sum(len(one.answered) for one in of_b),
        }
        for path, count in answered.items():
            assert until(lambda path=path, count=count: len(receiver.ids(path)) == count, 180), (path, count)
    assert (
        ask(cells["a"].place, "GET", "/v1/event_sink", key=cells["b"].key)[0] == 401
    )  # a cell knows its own keys alone
