"""Web servers and workers on three hosts over one database and one broker; one of them is cut off for a while."""

import time
from urllib.parse import urlsplit

import pytest
from django.db import connection

from eventsinks.models import Delivery
from tests.front.conftest import database_url
from tests.helpers.broker import broker, free_port
from tests.helpers.hosts import HERE, Relay, find_obstacle, three_hosts
from tests.helpers.receiver import Receiver
from tests.helpers.system import System, ask, clients, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one machine"),
]
CUT_FOR = 15  # seconds: longer than the lease


@pytest.fixture
def hosts():
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    with three_hosts() as made:
        yield made


@pytest.fixture
def system(hosts, tmp_path, settings):
    """Return a system whose database and broker are reached at the bridge."""
    url = urlsplit(database_url())
    with (
        broker(tmp_path) as queue,
        Relay(lambda _: (url.hostname, url.port or 5432), HERE) as database,
        Relay(lambda _: ("127.0.0.1", queue.port), HERE) as redis,
    ):
        login = url.netloc.rpartition("@")[0]
        settings.EVENTSINKS_ALLOWED_NETWORKS = [f"{HERE}/32"]
        made = System(
            tmp_path,
            url._replace(netloc=f"{login}@{HERE}:{database.port}").geturl(),
            f"redis://{HERE}:{redis.port}/0",
            EVENTSINKS_ALLOWED_NETWORKS=f"{HERE}/32",
            SECRET_KEY=settings.SECRET_KEY,
            EVENTSINKS_ENCRYPTION_KEYS=",".join(settings.EVENTSINKS_ENCRYPTION_KEYS),
        )
        yield made
        made.close()


def test_a_host_that_is_cut_off_and_comes_back_loses_nothing(hosts, system, make_webhook, acme_key):
    port = free_port()
    places = [f"{host.address}:{port}" for host in hosts]
    for host, place in zip(hosts, places, strict=True):
        system.serve(place, within=host.within)
        system.work(within=host.within)
    for host in hosts[:2]:
        system.beat(within=host.within)  # a second one does no harm, and goes on where the first is cut off
    with Receiver(host=HERE) as receiver:
        for path in ("/a", "/b"):
            make_webhook(receiver.url(path))
        with clients(places, acme_key, count=6) as posting:
            start = len(receiver.got)
            assert until(lambda: len(receiver.got) > start + 100, 180), system.read_logs()
            hosts[0].cut_off()
            time.sleep(0.1)
            at_risk = Delivery.objects.filter(state="sending").count()
            assert ask(places[0], "GET", "/healthz", seconds=1)[0] == 0
            time.sleep(CUT_FOR)
            before = len(receiver.got)
            assert until(lambda: len(receiver.got) > before + 50, 180), system.read_logs()
            hosts[0].bring_back()
            assert until(lambda: ask(places[0], "GET", "/readyz", seconds=2)[0] == 200, 180), system.read_logs()
            time.sleep(2)
        arrived = until(lambda: not Delivery.objects.exclude(state="delivered").exists(), 180)
        assert arrived, Delivery.objects.exclude(state="delivered").values()[:3]
        answered = {id for client in posting for id in client.answered}
        came = receiver.ids()
        assert not [one for client in posting for one in client.others]
        assert set(Delivery.objects.values_list("event__key", flat=True)) >= answered
        assert set(came) == set(map(str, Delivery.objects.values_list("id", flat=True)))
        assert len(came) == 2 * len(set(Delivery.objects.values_list("event_id", flat=True)))
        assert sum(came.values()) - len(came) <= at_risk
        assert all(process.poll() is None for process in system.started)  # nobody had to be started again
