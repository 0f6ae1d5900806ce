"""The breaker of an integration: as that of an event sink, with a batch as a try."""

from datetime import timedelta

import pytest
from django.db.models import F

from eventsinks.actions.status import find_status
from eventsinks.destinations.base import Temporary
from eventsinks.models import Destination, Position
from eventsinks.streaming.health import count_requests
from eventsinks.streaming.streamer import stream
from tests.helpers.streams import all_that_came

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silent_audit")]
MOMENTS = ("trouble_since", "trouble_at", "failed_at", "window_at", "breaker_at", "held_until")


def pass_time(seconds):
    Destination.objects.update(**{name: F(name) - timedelta(seconds=seconds) for name in MOMENTS})
    Position.objects.update(due_at=F("due_at") - timedelta(seconds=seconds))


def down(batch):
    raise Temporary("503")


def look(integration):
    return Destination.objects.get(id=integration.id)


@pytest.fixture
def opened(far, integrate, log, outlet):
    """An integration that is open since a moment ago, with 9 events that wait."""
    integration = integrate()
    log(*range(9))
    far.says = staticmethod(down)
    for _ in range(5):
        stream(integration.id, outlet)
        pass_time(30)
    assert find_status(look(integration)) == "open"
    return integration


def test_who_fails_for_a_minute_is_failing(far, integrate, log, outlet):
    integration = integrate()
    log("a")
    far.says = staticmethod(down)
    seen = []
    for _ in range(4):
        stream(integration.id, outlet)
        seen.append(str(find_status(look(integration))))
        pass_time(31)
    assert seen == ["active", "active", "failing", "failing"]
    assert look(integration).trouble_reason == "503"


def test_while_it_is_open_nothing_is_sent(opened, far, outlet):
    Destination.objects.update(held_until=F("held_until") + timedelta(seconds=300))
    tried = len(far.got)
    assert stream(opened.id, outlet) == 0
    assert len(far.got) == tried


def test_one_probe_that_fails_opens_it_again(opened, far, outlet):
    tried = len(far.got)
    pass_time(400)
    stream(opened.id, outlet)
    stream(opened.id, outlet)
    assert len(far.got) == tried + 1
    assert (look(opened).breaker, look(opened).times_opened) == ("open", 2)


@pytest.mark.guarantee("R19")
def test_one_that_arrives_closes_it_and_everything_follows_once(opened, far, outlet):
    pass_time(400)
    tried = len(far.got)
    far.says = staticmethod(lambda batch: {})
    stream(opened.id, outlet)
    assert (look(opened).breaker, look(opened).trouble) == ("ramp", 0)
    far.got[:] = far.got[tried:]
    assert all_that_came(far) == [str(code) for code in range(9)]


def test_a_killed_probe_is_made_once_more(opened, far, outlet, settings):
    pass_time(400)

    def die(batch):
        raise SystemExit

    far.says = staticmethod(die)
    with pytest.raises(SystemExit):
        stream(opened.id, outlet)
    far.says = staticmethod(lambda batch: {})
    assert stream(opened.id, outlet) == 0  # the lease of the dead, and its probe
    pass_time(settings.EVENTSINKS_LEASE + 1)
    assert stream(opened.id, outlet) > 0
    assert look(opened).breaker == "ramp"


def test_a_batch_grows_in_the_ramp(integrate, far):
    integration = look(integrate())
    assert count_requests(integration, 64) == 64
    Destination.objects.update(breaker="half_open")
    assert count_requests(look(integration), 64) == 1
    Destination.objects.update(breaker="ramp", breaker_at=F("created_at"))
    assert count_requests(look(integration), 64) == 1
    pass_time(11)
    assert count_requests(look(integration), 64) == 4


def test_who_is_well_is_never_written(integrate, far, log, outlet):
    integration = integrate()
    log(*range(9))
    stream(integration.id, outlet)
    assert look(integration).window_at is None
    assert look(integration).taken == 0
