"""Roads: what a person on call wants to do takes as few clicks as promised, in a real browser."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks.models import Delivery, Replay
from tests.admin.conftest import in_state  # noqa: F401
from tests.whole.test_browser import CHROMIUM, chromium, fits, log_in, page, shoot, site, violations  # noqa: F401

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


class Hand:
    """Clicks, and counts them."""

    def __init__(self, opened):
        self.page, self.clicks = opened, 0

    def click(self, what):
        self.clicks += 1
        self.page.click(what)
        self.page.wait_for_load_state("networkidle")


def test_two_to_four_o_clock_is_replayed_in_four_clicks(page, make_webhook, make_alert, in_state):  # noqa: F811
    for name in ("Receiver", "Other"):
        make_webhook(name=name)
    for number in range(3):
        make_alert(name=f"Root login {number}")
    for delivery in Delivery.objects.all():
        in_state(delivery, "failed", reason="503 Service Unavailable", status=503, tries=10)
    log_in(page)
    hand = Hand(page)
    hand.click("text=Replays")
    hand.click("a[href$='/replay/add/']")
    since = timezone.now() - timedelta(hours=2)
    page.fill("[name=since_0]", f"{since:%Y-%m-%d}")
    page.fill("[name=since_1]", f"{since:%H:%M:%S}")
    hand.click("button[name=count]")
    assert page.is_visible("text=Root login 2")
    shoot(page, "replay-counted")
    assert fits(page)
    hand.click("text=Replay 6 deliveries")
    assert hand.clicks == 4
    assert sorted(Replay.objects.values_list("counted", flat=True)) == [3, 3]
    shoot(page, "replay-list")
    page.goto(f"/admin/eventsinks/replay/{Replay.objects.first().pk}/change/")
    shoot(page, "replay-one")
    assert fits(page)
    assert violations(page) == []
