"""How many deliveries are open at sinks: those that are still owed, counted no further than it matters."""

import uuid

import pytest
from django.db.models.functions import Now

from eventsinks.models import Delivery
from eventsinks.models.delivery import count_open

pytestmark = pytest.mark.django_db


def test_what_is_pending_or_being_sent_is_open_and_no_more_is_counted_than_asked_for(make_webhook, make_alert):
    full, empty = make_webhook(), make_webhook()
    for number in range(4):
        make_alert(id=str(number), event_sink_ids=[str(full.uuid)])
    first, second = Delivery.objects.order_by("id")[:2]
    Delivery.objects.filter(id=first.id).update(state="delivered", settled_at=Now())
    Delivery.objects.filter(id=second.id).update(state="sending", lease=uuid.uuid4())
    assert count_open([full.id, empty.id], 9) == {full.id: 3, empty.id: 0}
    assert count_open([full.id, empty.id], 2) == {full.id: 2, empty.id: 0}


def test_where_no_sink_is_asked_about_nobody_is_asked(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert count_open([], 9) == {}
