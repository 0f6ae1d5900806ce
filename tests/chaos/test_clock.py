"""Clocks: a worker whose clock is a day off does all of its work."""

import subprocess
import time

import pytest
from django.conf import settings

from eventsinks import tasks
from eventsinks.models import Delivery

pytestmark = pytest.mark.django_db(transaction=True)
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LONELY = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error")


@pytest.mark.guarantee("R32")
@pytest.mark.parametrize("days", [1, -1])
def test_a_worker_whose_clock_is_off_sweeps_when_beat_says_so(
    days, start, queue, receiver, make_webhook, make_alert
):
    make_webhook(receiver.url())
    make_alert()  # nobody is nudged
    off = {"DJANGO_SETTINGS_MODULE": "chaos.settings", "CHAOS_CLOCK": str(days * 86_400)}
    start("-m", "celery", "-A", "project", "beat", "--loglevel", "error", "--pidfile=", **QUIET)
    start("-m", "celery", "-A", "project", "worker", *LONELY, changes=off, **QUIET)
    end = time.monotonic() + 120
    while not Delivery.objects.filter(state="delivered").exists():
        assert time.monotonic() < end, "nothing was swept"
        time.sleep(0.1)


def test_no_task_of_beat_expires_by_a_clock():
    assert not any("options" in entry for entry in settings.CELERY_BEAT_SCHEDULE.values())


def test_what_piled_up_while_no_worker_was_there_is_swept_once(monkeypatch):
    swept = []
    monkeypatch.setattr(tasks, "drain", lambda: swept.append(1) or 1)
    monkeypatch.setattr(tasks, "_began", {})
    assert [tasks.sweep.apply().result for _ in range(4)] == [1, 0, 0, 0]
    assert tasks.sweep() == 1  # who calls it means it
    assert len(swept) == 2
