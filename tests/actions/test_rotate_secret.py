"""Rotating a signing secret: both sign during the overlap, and then the new one alone."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from eventsinks.actions.secrets.rotate_secret import end_overlaps, rotate_secret
from eventsinks.actions.tenants import issue_key
from eventsinks.lib.net.wire import Response
from eventsinks.lib.secrets.signing import decode_key
from eventsinks.models import Destination
from eventsinks.sending.dispatcher import Dispatcher
from tests.api.conftest import Caller, fields_of
from tests.helpers.crowd import at_once
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def signed(make_alert):
    """Deliver one alert; return whether what arrives verifies with a secret. One worker, all along."""
    seen = []
    dispatcher = Dispatcher(World(lambda request: seen.append(request) or Response(200, [], b"")))

    def by(secret):
        make_alert()
        dispatcher.run()
        try:
            Webhook(secret).verify(seen[-1].body, dict(seen[-1].headers))
        except WebhookVerificationError:
            return False
        return True

    return by


@pytest.mark.guarantee("S12")
def test_both_sign_during_the_overlap_and_the_new_one_alone_after_it(make_webhook, signed):
    sink = make_webhook()
    old = sink.signing_secret
    assert signed(old)
    new = rotate_secret(sink, 3600)
    assert [signed(new), signed(old)] == [True, True]
    Destination.objects.update(old_signing_secret_until=timezone.now() - timedelta(seconds=1))
    assert (end_overlaps(), end_overlaps()) == (1, 0)
    assert [signed(new), signed(old)] == [True, False]
    assert Destination.objects.get().sealed_old_signing_secret == ""


@pytest.mark.guarantee("S12")
@pytest.mark.parametrize(("left", "keys"), [(60, 2), (-1, 1)])
def test_an_old_secret_whose_time_is_over_signs_no_more_though_nobody_has_taken_it_away(make_webhook, left, keys):
    rotate_secret(make_webhook(), 3600)
    Destination.objects.update(old_signing_secret_until=Now() + timedelta(seconds=left))
    sink = Destination.objects.get()
    assert sink.sealed_old_signing_secret
    assert sink.opened().signing_keys[0] == decode_key(sink.signing_secret)
    assert len(sink.opened().signing_keys) == keys


@pytest.mark.guarantee("S12")
def test_without_an_overlap_the_old_one_signs_no_more(make_webhook, signed):
    sink = make_webhook()
    old = sink.signing_secret
    new = rotate_secret(sink, 0)
    assert [signed(new), signed(old)] == [True, False]


def test_a_second_rotation_ends_the_first_ones_overlap(make_webhook, signed):
    sink = make_webhook()
    first = sink.signing_secret
    rotate_secret(sink, 3600)
    rotate_secret(Destination.objects.get(), 3600)
    assert not signed(first)


@pytest.mark.guarantee("S12")
@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_rotates(make_webhook):
    sink = make_webhook()
    results = at_once(4, lambda index: rotate_secret(sink, 60))
    assert [result is None for result in results].count(False) == 1


@pytest.mark.parametrize("overlap", [-1, 7 * 86_400 + 1, "60", 1.5, None])
def test_an_overlap_that_can_not_be_is_refused_by_field(acme, make_webhook, overlap):
    api, sink = Caller(issue_key(acme)[1]), make_webhook()
    assert fields_of(api.post(f"/v1/event_sink/{sink.uuid}/rotate_secret", {"overlap_s": overlap})) == [
        "overlap_s"
    ]
    answer = api.post(f"/v1/event_sink/{sink.uuid}/rotate_secret", {"overlap_s": 60}).json()
    assert answer["signing_secret"] == Destination.objects.get().signing_secret
