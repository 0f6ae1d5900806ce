"""The migration that gives NetBird's shapes names of their own: what is there keeps the shape that it has."""

import importlib

import pytest
from django.apps import apps

from eventsinks.actions import configure
from eventsinks.models import Destination
from tests.api.netbird.test_integrations import WHOLE

pytestmark = pytest.mark.django_db
named = importlib.import_module("eventsinks.migrations.0027_netbird_over_http")


@pytest.mark.parametrize(
    ("platform", "more", "before", "after"),
    [
        ("generic_http", {}, "as_accepted", "netbird_http"),
        ("generic_http", {}, "ocsf", "ocsf"),
        ("s3", {"layout": "object_per_event"}, "as_accepted", "netbird"),
        ("s3", {"layout": "batch"}, "as_accepted", "as_accepted"),
        ("firehose", {}, "as_accepted", "as_accepted"),
        ("datadog", {}, "as_accepted", "as_accepted"),
    ],
)
def test_an_integration_keeps_its_shape_and_workers_hear_of_its_name(acme, platform, more, before, after):
    made = configure.create(acme, platform, {**WHOLE[platform], **more}, name="n", mapping=before)
    for _ in range(2):
        named.name_the_shapes(apps, None)
        kept = Destination.objects.get()
        assert kept.mapping == after
        assert kept.version == made.version + (before != after)
    named.forget_the_names(apps, None)
    assert Destination.objects.get().mapping == before


def test_an_event_sink_is_left_alone(make_webhook):
    sink = make_webhook()
    named.name_the_shapes(apps, None)
    assert Destination.objects.get().version == sink.version
