"""An operator who may do everything, and data with something of every sort."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from uuid_utils.compat import uuid7

from eventsinks.models import Attempt, Delivery, SlackWorkspace

HOSTILE = "<script>alert('it ran')</script>"
TOKEN = "xoxb-not-to-be-seen"
HEADER = "Bearer not-to-be-seen-either"
ROUTING_KEY = "neverToBeSeen0123456789abcdefghi"


@pytest.fixture
def operator(client, db):
    """Sign in somebody who may do everything."""
    user = User.objects.create_superuser("operator", password="a long password")
    client.force_login(user)
    return client


@pytest.fixture
def sign_in(client, db):
    """Sign in somebody who has only the named permissions."""

    def signed_in(*permissions):
        user = User.objects.create_user("limited", password="a long password", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def workspace(acme):
    made = SlackWorkspace(tenant=acme, team_id="T0123", team_name="Acme HQ")
    made.token = TOKEN
    made.save()
    return made


@pytest.fixture
def make_attempt():
    def make(delivery, number=1, outcome="temporary", status=503, **fields):
        fields.setdefault("started_at", timezone.now() - timedelta(minutes=5))
        times = {"dns_ms": 4, "connect_ms": 22, "tls_ms": 61, "first_byte_ms": 180, "total_ms": 183}
        return Attempt.objects.create(
            id=uuid7(), delivery=delivery, number=number, outcome=outcome, status=status, **{**times, **fields}
        )

    return make


@pytest.fixture
def delivery(make_webhook, make_alert):
    """One delivery of Acme, pending."""
    make_webhook(name="Receiver")
    make_alert(id="alert-1")
    return Delivery.objects.get()


@pytest.fixture
def in_state():
    """Put a delivery into a state, as the engine would have left it."""

    def put(delivery, state, **columns):
        ended = state in ("delivered", "failed", "suppressed")
        columns.setdefault("settled_at", timezone.now() if ended else None)
        columns.setdefault("lease", uuid7() if state == "sending" else None)
        Delivery.objects.filter(pk=delivery.pk).update(state=state, **columns)
        delivery.refresh_from_db()
        return delivery

    return put
