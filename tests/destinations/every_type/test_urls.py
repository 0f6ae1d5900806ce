"""URLs of whatever type are kept as they are sent, in ASCII, or refused at their field: none fails later."""

import pytest
from pydantic import SecretStr, ValidationError

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import ClientType
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.urls import encode_url
from tests.destinations.examples import AT, example, find_urls, in_shape, make_audit, make_message

GUARD = AddressGuard()
# Of each type the fields that are URLs, with one that is good, up to where its own rules allow a path.
FIELDS = find_urls()
SENT = [
    ("https://example.com/hööks", "https://example.com/h%C3%B6%C3%B6ks"),
    ("https://example.com/in?team=Zürich&x=1", "https://example.com/in?team=Z%C3%BCrich&x=1"),
    ("https://example.com/a%20b/%C3%B6/%2F?q=%26", "https://example.com/a%20b/%C3%B6/%2F?q=%26"),
    ("https://example.com/100%", "https://example.com/100%"),
    ("https://bücher.example/", "https://xn--bcher-kva.example/"),
    ("https://BÜCHER.Example:8443?q=ü#ß", "https://xn--bcher-kva.example:8443?q=%C3%BC#%C3%9F"),
    ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ("https://例え。テスト/道", "https://xn--r8jz45g.xn--zckzah/%E9%81%93"),
    ("HTTPS://Example.COM/A/../b", "HTTPS://Example.COM/A/../b"),
    ('https://example.com/a|b{c}"<>^`', "https://example.com/a%7Cb%7Bc%7D%22%3C%3E%5E%60"),
    ("https://example.com/😀", "https://example.com/%F0%9F%98%80"),
    ("https://ex%61mple.com/", "https://example.com/"),
    ("https://[2606:4700::1]:8443/ü", "https://[2606:4700::1]:8443/%C3%BC"),
    ("https://example.com./", "https://example.com./"),
]
REFUSED = [
    "https://example.com/a b",
    "https://example.com/ ",
    " https://example.com/",
    "https://example.com/a\u00a0b",
    "https://example.com/a\tb",
    "https://example.com/a\r\nX-Evil: 1",
    "https://example.com/a\0b",
    "https://example.com/a\x7fb",
    "https://example.com/a\x85b",
    "https://exam ple.com/",
    "https://b\u00fccher\u2006.example/",
    "https://example.com\\@evil.example/",
    "https://jo:pw@example.com/",
    "https://jö@example.com/",
    "https://",
    "https:///example.com/",
    "https:example.com",
    "//example.com/",
    "example.com/hööks",
    "ftp://bücher.example/",
    "https://xn--a/",
    "https://bücher..example/",
    "https://.bücher.example/",
    f"https://{'ü' * 80}.example/",
    f"https://{'x' * 64}.example/",
    f"https://{'abcdefg.' * 40}example/",
    "https://ex／ample.com/",
    "https://bücher.example:x/",
    "https://bücher.example:99999/",
    "https://example.com/\ud800",
]
OTHER_WAYS = ("site", "region")  # to say where Datadog is
every_field = pytest.mark.parametrize(("key", "name", "good"), FIELDS)


def config(key, name, url):
    given = {field: value for field, value in example(key).items() if key != "datadog" or field not in OTHER_WAYS}
    return DESTINATION_TYPES[key].Config.model_validate({**given, name: url}, context={"guard": GUARD})


def kept(found, name):
    value = getattr(found, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize(("typed", "sent"), SENT)
def test_a_url_is_written_in_ascii_and_what_is_written_so_already_stays(typed, sent):
    assert encode_url(typed) == encode_url(sent) == sent


def test_the_fields_that_are_urls_are_found():
    assert {("webhook", "url"), ("datadog", "api_url"), ("jira", "site"), ("discord", "url")} <= {
        (key, name) for key, name, _ in FIELDS
    }


@every_field
def test_what_can_not_be_sent_is_refused_at_its_field(key, name, good, subtests):
    for url in REFUSED:
        with subtests.test(url=url):
            with pytest.raises(ValidationError) as refused:
                config(key, name, url)
            assert [detail["loc"] for detail in refused.value.errors()] == [(name,)]


@every_field
@pytest.mark.parametrize("more", ["", "/", "/hööks", "?team=Zürich", "/a%20b", "#ß"])
def test_what_a_type_takes_is_ascii_and_what_it_does_not_is_refused_at_its_field(key, name, good, more):
    url = good + more
    try:
        found = config(key, name, url)
    except ValidationError as error:
        named = [detail["loc"] for detail in error.errors()]
    else:
        assert kept(found, name).isascii()
        assert kept(found.apply_changes(found.dump_masked(), GUARD), name) == kept(found, name)
        return
    assert more
    assert named == [(name,)]


@pytest.mark.parametrize("key", ["webhook", "generic_http", "datadog"])
@pytest.mark.parametrize(("typed", "sent"), SENT)
def test_a_request_goes_to_what_is_kept(key, typed, sent):
    (name,) = (field for of, field, _ in FIELDS if of == key)
    try:
        found = config(key, name, typed)
    except ValidationError:
        assert key == "datadog"  # which wants a path
        return
    kind = DESTINATION_TYPES[key](found, [bytes(32)])
    assert not isinstance(kind, ClientType)
    message = make_message() if kind.face == "event_sink" else in_shape("netbird_http", make_audit())
    assert kind.build([message], AT).url == sent


@pytest.mark.parametrize("key", ["webhook", "generic_http"])
def test_a_url_that_becomes_too_long_by_its_letters_is_refused_at_its_field(key):
    assert config(key, "url", "https://example.com/" + "x" * 1_900)
    with pytest.raises(ValidationError, match="2000") as refused:
        config(key, "url", "https://example.com/" + "ü" * 1_900)
    assert [detail["loc"] for detail in refused.value.errors()] == [("url",)]


def test_an_internal_place_is_seen_through_any_spelling():
    for url in ("https://１２７.0.0.1/ü", "http://lｏcalhost/", "http://10。0。0。1/", "http://%31%30.0.0.1/"):
        with pytest.raises(ValidationError, match="internal"):
            config("webhook", "url", url)
