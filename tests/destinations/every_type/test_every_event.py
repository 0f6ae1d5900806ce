"""Every event type can be told by every destination type: whatever there is of one, whatever the other is."""

import itertools
from uuid import UUID

import orjson
import pytest

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import ClientType, Message, MessageBatch
from eventsinks.event_types import EVENT_TYPES
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.lib.net.wire import Request
from eventsinks.mappings import MAPPINGS
from tests.destinations.examples import ACME, AT, BATCH_ID, MESSAGE_ID, make_type

MARKS = ("", "[TEST]", "[FALLBACK for soc: it waits there]")
TEMPLATE = AlertTemplate.model_validate(
    {
        "info": [{"label": "Who", "value": "{{@alert.user}}", "use_for_dedup": True}],
        "actions": [{"label": "Look", "value": "https://example.com/{{@alert.id}}"}],
    }
)
EXAMPLES = [(key, number) for key, kind in sorted(EVENT_TYPES.items()) for number in range(len(kind.examples))]
STREAMS = [key for key, kind in sorted(DESTINATION_TYPES.items()) if kind.face == "integration"]
CLIENTS = [key for key, kind in sorted(DESTINATION_TYPES.items()) if issubclass(kind, ClientType)]
every_example = pytest.mark.parametrize(("event_key", "number"), EXAMPLES)


def message(event_key, number, **options):
    """Return an example, as it was accepted, on its way to a destination."""
    kind = EVENT_TYPES[event_key]
    accepted = kind.accept(orjson.dumps(kind.examples[number]), ACME)
    options.setdefault("id", MESSAGE_ID)
    return Message(
        event_type=kind, tenant_id=ACME, occurred_at=accepted.occurred_at, data=accepted.data, **options
    )


def test_every_event_type_brings_examples_of_every_status_that_it_knows():
    for kind in EVENT_TYPES.values():
        field = kind.Data.model_fields.get("status")
        known = set(getattr(field.annotation, "__args__", ())) if field else {"firing"}
        told = {message(kind.key, number).summary.status for number in range(len(kind.examples))}
        assert told == known


@every_example
def test_an_example_has_a_summary_that_says_something(event_key, number):
    for mark, template in itertools.product(MARKS, (None, TEMPLATE)):
        summary = message(event_key, number, mark=mark, template=template).summary
        assert summary.title.removeprefix(mark).strip()
        assert summary.title.startswith(mark)


@pytest.mark.parametrize("key", sorted(set(DESTINATION_TYPES) - set(CLIENTS)))
def test_every_event_is_told_by_every_destination_type(key, subtests):
    kind = make_type(key, signing_keys=[bytes(32)])
    for (event_key, number), mark, template in itertools.product(EXAMPLES, MARKS, (None, TEMPLATE)):
        with subtests.test(event=event_key, number=number, mark=mark, template=bool(template)):
            request = kind.build([message(event_key, number, mark=mark, template=template)], AT)
            assert isinstance(request, Request)
            assert request.body


@pytest.mark.parametrize("key", STREAMS)
@pytest.mark.parametrize("name", sorted(MAPPINGS))
def test_every_event_is_told_in_every_mapping(key, name, subtests):
    kind = make_type(key)
    for event_key, number in EXAMPLES:
        with subtests.test(event=event_key, number=number):
            plain, event_type = message(event_key, number), EVENT_TYPES[event_key]
            data = MAPPINGS[name].written(event_type, plain.data, plain.occurred_at)
            mapped = Message(MESSAGE_ID, event_type, ACME, plain.occurred_at, data, name)
            if not isinstance(kind, ClientType):
                assert kind.build([mapped], AT).body
            assert orjson.loads(data)


@pytest.mark.parametrize("key", CLIENTS)
def test_every_event_is_told_by_every_type_that_has_a_client_of_its_own(key, amazon):
    amazon.make_bucket()
    amazon.make_stream()
    batch = MessageBatch(
        BATCH_ID, 1, [message(*example, id=UUID(int=n + 1)) for n, example in enumerate(EXAMPLES)]
    )
    kind = make_type(key, endpoints=amazon.endpoints)
    assert not kind.send(batch, AT).failures
