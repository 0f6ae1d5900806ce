"""An option is declared once: it is then stored, shown, checked and asked for, without a column of its own too."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field, StrictInt

from eventsinks.actions import configure
from eventsinks.actions.options import show_options
from eventsinks.admin.sinks.options import list_parts
from eventsinks.api.v1.event_sink_shapes import EventSinkOut
from eventsinks.models import Destination
from eventsinks.models.options import Kept, Options

pytestmark = pytest.mark.django_db


Tries = Annotated[StrictInt, Field(ge=1, le=10)]


class WithMaxTries(Options):
    """The options, with a made-up one."""

    max_tries: Annotated[Annotated[StrictInt, Field(ge=1, le=10)] | None, Kept(10)] = Field(
        None, description="tries"
    )

    def given(self):
        return {name: getattr(self, name) for name in WithMaxTries.model_fields if name in self.model_fields_set}


@pytest.fixture
def declared(monkeypatch):
    """Declare an option that there is not."""
    fields = dict(WithMaxTries.model_fields)
    monkeypatch.setattr(Options, "__pydantic_fields__", fields)


def test_an_option_without_a_column_is_kept_shown_changed_and_taken_away(make_webhook, declared):
    sink = make_webhook(options=WithMaxTries(max_tries=3, filter="severity_id > 1"))
    assert (show_options(sink)["max_tries"], sink.option("max_tries")) == (3, 3)
    configure.change(sink, options=WithMaxTries(max_tries=4))
    sink = Destination.objects.get()
    assert (show_options(sink)["max_tries"], sink.filter) == (4, "severity_id > 1")
    configure.change(sink, options=WithMaxTries(max_tries=None))
    sink = Destination.objects.get()
    assert (sink.options, sink.option("max_tries")) == ({}, 10)


def test_every_option_is_shown_by_the_api_and_made_of_fields():
    assert set(Options.model_fields) <= set(EventSinkOut.model_fields)
    assert all(list_parts(name) for name in Options.model_fields)
