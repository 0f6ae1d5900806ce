"""Wherever a tenant names a place, one guard judges it, when it is saved and when it is dialled; new types too."""

import pytest
from pydantic import SecretStr, ValidationError

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import ClientType, Temporary
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import exchange_once, open_outlet
from eventsinks.lib.net.wire import ExchangeFailed
from eventsinks.lib.validation import list_errors
from tests.destinations.examples import AT, example, find_urls, goes_anywhere, make_batch, make_message, make_type
from tests.helpers.receiver import Receiver
from tests.lib.test_addresses import DISGUISED, MALFORMED

PLACES = {(key, field) for key, field, _ in find_urls()}
every_place = pytest.mark.parametrize(("key", "field"), sorted(PLACES))


def refusals(key, field, place, **rules):
    """Return what is said of a config with `place` in `field`, by field."""
    try:
        DESTINATION_TYPES[key].Config.model_validate(
            {**example(key), field: place}, context={"guard": AddressGuard(**rules)}
        )
    except ValidationError as error:
        return dict(list_errors(error))
    return {}


def test_the_places_are_found():
    assert {
        ("webhook", "url"),
        ("generic_http", "url"),
        ("datadog", "api_url"),
        ("jira", "site"),
        ("s3", "endpoint_url"),
        ("teams", "url"),
        ("discord", "url"),
    } <= PLACES


@every_place
def test_a_place_inside_is_refused_when_it_is_saved_and_its_field_is_named(key, field):
    assert not [url for url in (*DISGUISED, *MALFORMED[1:]) if field not in refusals(key, field, url)]


@pytest.mark.guarantee("S5")
@every_place
def test_a_port_of_what_is_no_receiver_is_refused_when_it_is_saved(key, field):
    place = example(key).get(field, "https://logs.acme.example/api").replace(":443", "")
    scheme, _, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    said = refusals(key, field, f"{scheme}://{host}:6379{slash}{path}")
    assert said == {field: "port 6379 may not be dialled"} or not goes_anywhere(key, field)
    assert field in said


@pytest.mark.guarantee("S5")
@every_place
def test_a_place_in_clear_is_refused_where_only_https_is_allowed(key, field):
    place = example(key).get(field, "https://logs.acme.example/api").replace("https://", "http://")
    assert refusals(key, field, place, https_only=True) == {field: "only https:// is allowed here"}


@pytest.mark.guarantee("S1")
@pytest.mark.parametrize(("key", "field"), sorted(place for place in PLACES if goes_anywhere(*place)))
def test_a_place_inside_is_not_dialled_however_it_was_saved(key, field):
    with Receiver() as receiver, open_outlet(AddressGuard(), 3) as strict:
        place = receiver.url("/x" if field != "site" else "", host="localhost")
        config = DESTINATION_TYPES[key].Config.model_construct(**dict(make_type(key).config))
        place = SecretStr(place) if isinstance(getattr(config, field), SecretStr) else place
        kind = DESTINATION_TYPES[key](config.model_copy(update={field: place}))
        if isinstance(kind, ClientType):
            kind.guard = AddressGuard()
            with pytest.raises(Temporary, match="address_refused: localhost is an internal address"):
                kind.send(make_batch(), AT)
        else:
            with pytest.raises(ExchangeFailed, match="localhost is an internal address"):
                exchange_once(strict, kind.build([make_message()], AT))
        assert receiver.connections == 0
