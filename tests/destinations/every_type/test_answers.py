"""What each service's answers mean, held against the lists that their vendors publish.

Of statuses the list is STATUSES in the type's own test, of error codes a file in published/; `make_error` in the
type's own test makes the answer that carries one.
"""

from pathlib import Path

import pytest

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import (
    ClientType,
    DestinationGone,
    EventRefused,
    Meaning,
    Temporary,
    TooLarge,
)
from eventsinks.destinations.base.aws import AwsType
from eventsinks.lib.net.aws import CallFailed
from eventsinks.lib.net.smtp import MAIL
from eventsinks.lib.net.wire import Response
from tests.destinations.examples import AT, make_message, make_response, make_type, of_its_test

PUBLISHED = Path(__file__).parents[1] / "published"
FAILURES = {
    Meaning.PASSING: Temporary,
    Meaning.UNLISTED: Temporary,
    Meaning.REFUSED: EventRefused,
    Meaning.PLAINER: EventRefused,
    Meaning.BROKEN: DestinationGone,
}


def lines(name):
    """Return the words of each line of a published list."""
    text = (PUBLISHED / f"{name}.txt").read_text()
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def codes(name):
    """Return each published code of a type, behind its meaning."""
    return [(meaning, code) for meaning, *found in lines(name) for code in found]


AMAZON = [key for key in sorted(DESTINATION_TYPES) if issubclass(DESTINATION_TYPES[key], AwsType)]
CLIENTS = {key for key, kind in DESTINATION_TYPES.items() if issubclass(kind, ClientType)}
PUBLISHERS = sorted({path.stem for path in PUBLISHED.glob("*.txt")} & set(DESTINATION_TYPES) - set(AMAZON))
# A mail server's replies are no statuses of HTTP; a client's answers are its own.
BY_HTTP = [
    key
    for key in sorted(set(DESTINATION_TYPES) - CLIENTS)
    if make_type(key).build([make_message()], AT).method != MAIL
]
STATUSES = [
    (key, meaning, status)
    for key in BY_HTTP
    for meaning, found in of_its_test(key, "STATUSES", "what each status means").items()
    for status in found
]


@pytest.mark.parametrize("key", PUBLISHERS)
def test_a_published_error_means_what_the_list_says(key, subtests):
    make_error = of_its_test(key, "make_error", "the answer with an error code")
    kind = make_type(key)
    for meaning, code in codes(key):
        with subtests.test(meaning, code=code):
            response = make_error(code)
            assert kind.answers.meaning(response) == meaning
            with pytest.raises(FAILURES[Meaning(meaning)]):
                kind.read(response, [make_message()])


@pytest.mark.parametrize("key", AMAZON)
def test_a_published_error_of_amazon_means_what_the_list_says(key, subtests):
    kind = make_type(key)
    for meaning, code in codes(key):
        with subtests.test(meaning, code=code):
            failure = kind.failure(CallFailed(code, "why", Response(400, [], b"")))
            assert isinstance(failure, FAILURES[Meaning(meaning)])
            assert code in kind.answers.codes
            assert not isinstance(failure, TooLarge)


def test_a_status_means_what_the_list_says(subtests):
    for key, meaning, status in STATUSES:
        with subtests.test(key, meaning=meaning, status=status):
            kind, response = make_type(key), make_response(status, b"")
            assert kind.answers.meaning(response) == meaning
            if meaning != "taken":
                with pytest.raises(FAILURES[Meaning(meaning)]):
                    kind.read(response, [make_message()])


@pytest.mark.parametrize("key", BY_HTTP)
def test_what_goes_wrong_is_listed_of_every_type_over_http(key):
    assert "passing" in {meaning for name, meaning, _ in STATUSES if name == key}


@pytest.mark.parametrize("key", sorted(DESTINATION_TYPES))
def test_every_row_of_a_table_is_a_meaning_that_leads_somewhere(key):
    answers = DESTINATION_TYPES[key].answers
    for meaning in (*answers.codes.values(), *answers.statuses.values()):
        assert meaning is Meaning.TAKEN or isinstance(answers.as_failure(meaning, "why"), FAILURES[meaning])
        assert meaning is not Meaning.UNLISTED


WORDS = [
    key for key in sorted(DESTINATION_TYPES) if Meaning.PLAINER in DESTINATION_TYPES[key].answers.statuses.values()
]


@pytest.mark.parametrize("key", [*WORDS, "slack"])
def test_a_message_that_is_not_liked_is_sent_once_more_in_plain_words(key):
    kind, message = make_type(key), make_message()
    answer = make_response(400, b"{}")
    if key == "slack":
        answer = make_response(200, b'{"ok":false,"error":"invalid_attachments"}')
    first = kind.build([message], AT)
    if key == "jira":  # it asks first
        first = kind.then(message, first, make_response(200, b'{"issues":[]}'))
    plainer = kind.then(message, first, answer)
    assert len(plainer.body) < len(first.body)
    assert message.document["name"].encode() in plainer.body.replace(b"\\\\", b"")
    assert (plainer.method, plainer.url, plainer.headers) == (first.method, first.url, first.headers)
    assert kind.then(message, plainer, answer) is None
    with pytest.raises(EventRefused):
        kind.read(answer, [message])


def test_an_error_of_tomorrow_is_tried_in_plain_words_and_then_again_later():
    kind, message = make_type("slack"), make_message()
    answer = make_response(200, b'{"ok":false,"error":"a_code_of_tomorrow"}')
    assert kind.then(message, kind.build([message], AT), answer) is not None
    with pytest.raises(Temporary):
        kind.read(answer, [message])


def test_what_is_refused_together_is_tried_in_halves():
    with pytest.raises(TooLarge):
        make_type("datadog").read(make_response(400, b""), [make_message(), make_message()])
    with pytest.raises(EventRefused):
        make_type("datadog").read(make_response(400, b""), [make_message()])
