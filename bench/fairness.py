"""The cost of a hanging sink's backlog for another tenant: milliseconds from POST to receipt, without and with it.

    python -m bench.fairness [--backlog N] [--alerts N] [--database sqlite|postgresql|both]

It runs the whole system as `make run` does. It posts one tenant's alerts one after another, and notes when the
receiver has each. Then it gives another tenant N deliveries, by SQL, to a sink that accepts connections and never
answers, and measures the same again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

from bench.deliveries import ROOT, database_server, environment_of
from bench.receiver import ANSWER, END

PAUSE = 0.03  # seconds between two alerts
SETTLED = 5.0  # seconds for the sender to find the backlog before the clock starts
PATIENCE = 60.0  # seconds for one alert


def main() -> None:
    """Measure on each database and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--alerts", type=int, default=500)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    for name in ["postgresql", "sqlite"] if options.database == "both" else [options.database]:
        folders = tempfile.TemporaryDirectory(prefix="eventsinks-bench-")
        with folders as folder, database_server(name, Path(folder)) as (_, url):
            compare(name, Path(folder), url, options.backlog, options.alerts)


def compare(name: str, var: Path, url: str, backlog: int, alerts: int) -> None:
    """Measure on one database, without the backlog and then with it, and print the figures and their ratio."""
    print(f"== {name}: milliseconds from POST to received, one tenant of two, {alerts} alerts", flush=True)
    environment = environment_of(
        var, url, REDIS_URL="", EVENTSINKS_ALLOWED_NETWORKS="127.0.0.1/32", LOG_LEVEL="WARNING", PORT="18400"
    )
    hanging = socket.create_server(("127.0.0.1", 0), backlog=4096)  # it accepts connections and does nothing else
    receiver = Receiver()
    with (
        hanging,
        subprocess.Popen(
            [sys.executable, "manage.py", "run"], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as system,
    ):
        try:
            door = Door(system)
            inside(environment, "prepare", door.tenant, receiver.port, hanging.getsockname()[1])
            measure("warm", door, receiver, 30)
            before = measure("without", door, receiver, alerts)
            began = time.monotonic()
            inside(environment, "owe", backlog)
            print(
                f"   {backlog:,} deliveries to a sink that hangs, in {time.monotonic() - began:.0f} s", flush=True
            )
            time.sleep(SETTLED)
            after = measure("with", door, receiver, alerts)
            print(f"   ratio: p50 {after[0] / before[0]:.2f}, p99 {after[1] / before[1]:.2f}\n", flush=True)
        finally:
            system.terminate()
            system.wait(90)


class Door:
    """The API of a running system, with the tenant and the key that the system printed."""

    def __init__(self, system: subprocess.Popen[str]) -> None:
        assert system.stdout
        told = ""
        while "API key" not in told:
            line = system.stdout.readline()
            assert line, f"it did not start: {told}"
            told += line
        host, self.tenant, self._key = (
            re.findall(rf"{word} +(?:http://)?(\S+)", told)[0] for word in ("API", "Tenant", "API key")
        )
        self._connection = http.client.HTTPConnection(host, timeout=PATIENCE)

    def open_anew(self) -> None:
        """Close the connection: the server may have closed it meanwhile."""
        self._connection.close()

    def post(self, id: str) -> None:
        """Post one alert. Raises AssertionError if it is not accepted."""
        body = json.dumps({"id": id, "name": "Bench", "severity": "High"})
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._connection.request("POST", "/v1/detection_alert", body, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        assert answer.status < 300, said


class Receiver:
    """A far end in threads that notes when the awaited alert arrives."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.got_at = 0.0
        self.got = threading.Event()
        self.awaited = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def await_(self, id: str) -> None:
        """Forget earlier alerts, and await this one from now on."""
        self.got.clear()
        self.awaited = f'"{id}"'.encode()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while more := connection.recv(65_536):
            data += more
            while (head := data.find(END)) >= 0:
                length = int(data[:head].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                end = head + len(END) + length
                if len(data) < end:
                    break
                if self.awaited in data[:end]:
                    self.got_at = time.monotonic()
                    self.got.set()
                data = data[end:]
                connection.sendall(ANSWER)


def measure(name: str, door: Door, receiver: Receiver, alerts: int) -> tuple[float, float]:
    """Post so many alerts. Return p50 and p99 of the milliseconds until each arrived."""
    taken = []
    door.open_anew()
    for _ in range(alerts):
        id = str(uuid.uuid4())
        receiver.await_(id)
        began = time.monotonic()
        door.post(id)
        assert receiver.got.wait(PATIENCE), "an alert did not arrive"
        taken.append((receiver.got_at - began) * 1000)
        time.sleep(PAUSE)
    parts = statistics.quantiles(taken, n=100)
    if name != "warm":
        print(f"   {name:8} p50 {parts[49]:7.1f}   p99 {parts[98]:7.1f}   most {max(taken):7.1f}", flush=True)
    return parts[49], parts[98]


def inside(environment: dict[str, str], *arguments: object) -> None:
    """Run a step in Django, in its own process."""
    command = [sys.executable, "-m", "bench.fairness", "inside", *map(str, arguments)]
    subprocess.run(command, env=environment | {"DJANGO_SETTINGS_MODULE": "project.settings"}, cwd=ROOT, check=True)


def prepare(tenant_id: str, port: str, hanging: str) -> None:
    """Make a sink that works for this tenant, and one that hangs for another tenant."""
    from eventsinks.actions import configure
    from eventsinks.actions.tenants import create_tenant
    from eventsinks.models import Tenant

    for sink in Tenant.objects.get(id=tenant_id).destinations.all():
        configure.delete(sink)
    well = {"url": f"http://127.0.0.1:{port}/"}
    configure.create(Tenant.objects.get(id=tenant_id), "webhook", well, name="well")
    configure.create(create_tenant("Hangs"), "webhook", {"url": f"http://127.0.0.1:{hanging}/"}, name="hangs")


def owe(backlog: str) -> None:
    """Make so many deliveries for the hanging sink, due now."""
    from bench.fill import fill
    from eventsinks.models import Destination

    body = b'{"id":"1","name":"n","severity":"Low"}'
    fill(Destination.objects.get(name="hangs"), body, int(backlog), "pending")


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        import django

        django.setup()
        {"prepare": prepare, "owe": owe}[sys.argv[2]](*sys.argv[3:])
    else:
        main()
