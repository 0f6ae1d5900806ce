"""Generic HTTP: headers are hidden and kept, and what can't be filled in is refused when it is saved."""

import base64
import json

import pytest
from pydantic import ValidationError

from eventsinks.destinations.generic_http import GenericHttpConfig
from eventsinks.lib.net.addresses import AddressGuard
from tests.destinations.test_generic_http import EXAMPLE, PLAIN


def config(**changes):
    return GenericHttpConfig.model_validate({**EXAMPLE, **changes}, context={"guard": AddressGuard()})


def with_headers(**headers):
    return config(headers=json.dumps(headers))


def shown(changed):
    return json.loads(changed.dump_masked()["headers"])


def kept(changed):
    return json.loads(changed.dump_revealed()["headers"])


@pytest.mark.parametrize(
    "template",
    [
        "{{.Secret}}",
        "{{.Meta",
        "{{range .Meta}}x{{end}}",
        "{{.Message | html}}",
        '{{.Message.Format "2006"}}',
        "{{.ID.UnixNano}}",
        "{{.Timestamp.Year}}",
        '{"a": {{.Message}}{{.ID}}}',
        '{"a": "{{.Message}}',
        '{"a": "\\{{.Message}}"}',
        '{"a": "\\u00{{.ID}}"}',
        "{{{.Message}}: 1}",
        '{"a": NaN}',
        "x" * 40_000,
        "{{.ID}}" * 501,
        "{{" * 15_000,
        "[" * 20_000 + "{",
    ],
)
def test_a_template_that_can_not_be_filled_in_is_refused_when_it_is_saved(template):
    if template.startswith("["):
        assert config(body_template=template)  # a line of a log may begin like this
        return
    with pytest.raises(ValidationError, match="body_template"):
        config(body_template=template)


def test_the_error_says_which_variables_there_are():
    with pytest.raises(ValidationError, match=r"\.Nonsense.* is not known; there is \.ID, \.Timestamp"):
        config(body_template='{"a": "{{.Nonsense}}"}')


@pytest.mark.guarantee("P6")
def test_headers_are_shown_with_their_scheme_and_nothing_else():
    given = with_headers(Authorization="Basic am86c2VjcmV0", **{"X-Key": "k-77", "X-Empty": ""})
    assert shown(given) == {"Authorization": "Basic ****", "X-Key": "****", "X-Empty": ""}
    assert "am86" not in repr(given) + str(given.dump_masked())
    assert shown(with_headers(Authorization="Bearer abc")) == {"Authorization": "Bearer ****"}


PAIR = base64.b64encode(b"****:****").decode()


@pytest.mark.parametrize(
    ("stored", "sent"),
    [("Bearer abc", "Bearer ****"), ("Basic abc", "Basic ****"), ("Basic abc", f"Basic {PAIR}"), ("k-77", "****")],
)
def test_a_header_that_is_sent_back_masked_stays_as_it_was(stored, sent):
    before = with_headers(Authorization=stored, other="1")
    after = before.apply_changes({"headers": json.dumps({"authorization": sent, "New": "n"})})
    assert kept(after) == {"authorization": stored, "New": "n"}


@pytest.mark.parametrize("sent", ["Bearer ****", "Basic ****", "****"])
def test_a_mask_without_a_secret_behind_it_is_refused(sent):
    headers = json.dumps({"Authorization": sent})
    for attempt in (
        lambda: config(headers=headers),
        lambda: with_headers(other="1").apply_changes({"headers": headers}),
    ):
        with pytest.raises(ValidationError, match="stands for a secret"):
            attempt()


def test_the_dashboards_switch_changes_nothing_but_what_it_means_to():
    before = config()
    assert before.apply_changes(before.dump_masked()) == before
    assert before.apply_changes({}) == before
    for name in before.dump_masked():
        assert before.apply_changes({name: before.dump_masked()[name]}) == before


def test_an_empty_text_takes_an_optional_value_away():
    changed = config().apply_changes({"headers": "", "body_template": ""})
    assert changed.dump_masked() == PLAIN


@pytest.mark.parametrize(
    "headers",
    [
        "no json",
        "[]",
        '"x"',
        '{"X": 1}',
        '{"X": null}',
        '{"Host": "x"}',
        '{"X Y": "x"}',
        '{"X": "a\\nb"}',
        '{"X": "東京"}',
        '{"X": "1", "x": "2"}',
        json.dumps({f"X-{number}": "x" for number in range(51)}),
    ],
)
def test_headers_that_are_none_are_refused(headers):
    with pytest.raises(ValidationError, match="headers"):
        config(headers=headers)


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://10.0.0.1/", "http://[::1]/", "ftp://x.example/"])
def test_a_url_that_may_not_be_dialled_is_refused(url):
    with pytest.raises(ValidationError):
        config(url=url)
