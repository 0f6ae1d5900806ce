"""Signatures, as the independent `standardwebhooks` package verifies them."""

import base64
import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from eventsinks.lib.secrets.signing import decode_key, make_secret, make_signature_headers

SECRET, OTHER = make_secret(), make_secret()


def signed(body, secrets=(SECRET,), message_id="msg_1", timestamp=None):
    keys = [decode_key(secret) for secret in secrets]
    return dict(make_signature_headers(keys, message_id, int(timestamp or time.time()), body))


@pytest.mark.guarantee("S11")
@settings(deadline=None, max_examples=50, database=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()))
def test_an_independent_library_accepts_what_was_signed(document):

    body = orjson.dumps({key: str(value) for key, value in document.items()})
    assert Webhook(SECRET).verify(body, signed(body)) == orjson.loads(body)


def test_every_key_of_a_rotation_verifies():
    headers = signed(b"{}", [SECRET, OTHER])
    assert Webhook(SECRET).verify(b"{}", headers) == {}
    assert Webhook(OTHER).verify(b"{}", headers) == {}
    assert len(headers["webhook-signature"].split(" ")) == 2


@pytest.mark.guarantee("S11")
@pytest.mark.parametrize("body", [b"{ }", b"{}\n", b'{"a":1}', b""])
def test_any_other_body_is_refused(body):
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, signed(b"{}"))


@pytest.mark.parametrize(
    "changes",
    [{"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(time.time()) + 1)}, {"webhook-signature": "v1,"}],
)
def test_any_other_header_is_refused(changes):
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b"{}", {**signed(b"{}", timestamp=time.time()), **changes})


def test_another_key_is_refused():
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(b"{}", signed(b"{}"))


def test_a_signature_of_long_ago_is_refused():
    with pytest.raises(WebhookVerificationError, match="old"):
        Webhook(SECRET).verify(b"{}", signed(b"{}", timestamp=time.time() - 3600))


def test_the_example_of_the_specification_comes_out():
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    key = decode_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = dict(make_signature_headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body))
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_new_secret_is_new_and_long_enough():
    assert make_secret() != make_secret()
    assert make_secret().startswith("whsec_")
    assert len(decode_key(make_secret())) == 32


@pytest.mark.parametrize("size", [24, 64])
def test_a_key_of_24_to_64_bytes_is_taken_with_or_without_its_prefix(size):
    text = base64.b64encode(b"k" * size).decode()
    assert decode_key(text) == decode_key(f"whsec_{text}") == b"k" * size


@pytest.mark.guarantee("S11")
@pytest.mark.parametrize("size", [0, 1, 23, 65])
def test_a_key_that_is_too_short_or_too_long_is_refused(size):
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        decode_key("whsec_" + base64.b64encode(b"k" * size).decode())


@pytest.mark.parametrize("text", ["whsec_not base64!", "whsec_é", "whsec_QUJD=QUJD", "whsec_QQ"])
def test_what_is_not_base64_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        decode_key(text)
