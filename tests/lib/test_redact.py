"""Secrets by value: in every form that others write them in, and nothing else."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.lib.secrets.redact import Redactor
from eventsinks.lib.secrets.secret_texts import get_origin, mask_url, split_secret, unmask_url

SECRET = 'hunter2secret/+&"<é x'
FORMS = {
    "as it is": SECRET,
    "in capitals": SECRET.upper().replace("É", "é"),
    "percent-encoded": quote(SECRET, safe=""),
    "percent-encoded in lower case": quote(SECRET, safe="").lower(),
    "as a form": quote_plus(SECRET),
    "every sign percent-encoded": "".join(f"%{byte:02X}" for byte in SECRET.encode()),
    "percent-encoded twice": quote(quote(SECRET, safe=""), safe=""),
    "JSON": json.dumps(SECRET),
    "JSON in JSON": json.dumps(json.dumps(SECRET)),
    "HTML": html.escape(SECRET),
    "HTML by numbers": "".join(f"&#{ord(sign)};" for sign in SECRET),
    "hexadecimal": SECRET.encode().hex(),
    "hexadecimal in capitals": SECRET.encode().hex(" ").upper(),
    "on two lines": SECRET[:9] + "\r\n  " + SECRET[9:],
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 after one": base64.b64encode(b"x" + SECRET.encode() + b"y").decode(),
    "base64 after two": base64.b64encode(b"xy" + SECRET.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
    "base64 on lines": base64.encodebytes(b"xy" + SECRET.encode() * 4).decode().strip(),
    "base64 percent-encoded": quote(base64.b64encode(SECRET.encode()), safe=""),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_secret_is_masked_in_every_form(form):
    shown = Redactor([SECRET]).mask(f"before ({form}) after")
    assert "****" in shown
    assert shown.startswith("before (")
    assert shown.endswith(" after")
    for at in range(len(form) - 7):
        assert form[at : at + 8] not in shown


def test_what_is_latin_1_on_the_wire_is_masked_too():
    assert Redactor([SECRET]).mask_bytes(b"<" + SECRET.encode("latin-1") + b">") == b"<****>"


@pytest.mark.parametrize("cut", ["hunter2s", "hunter2secret/%2", "said: hunter2se… (more)", "aHVudGVyMnNlY3"])
def test_the_beginning_of_a_secret_is_masked_where_the_text_is_cut(cut):
    shown = Redactor([SECRET]).mask(cut)
    assert "unter" not in shown
    assert "VudGV" not in shown
    assert "****" in shown


@pytest.mark.parametrize("text", ["hunter is here", "hunter2s and more", "", "ab", "the json is not valid"])
def test_what_is_no_secret_stays(text):
    assert Redactor([SECRET, "ab", "json", ""]).mask(text) == text


@settings(deadline=None, max_examples=200, database=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=8).filter(lambda text: len(text.split()) == 1),
    st.text(),
)
def test_no_text_around_a_secret_hides_it(secret, around):
    shown = Redactor([secret]).mask(f"{around}{secret}{around}")
    assert secret not in shown.replace("****", "") or len(secret.strip().encode()) < 8 or secret in around


def test_parts_of_a_header_are_secrets_of_their_own():
    pair = base64.b64encode(b"user:hunter2").decode()
    assert {f"Basic {pair}", pair, "user:hunter2", "hunter2"} <= set(split_secret(f"Basic {pair}"))
    assert {"session=abcdefgh", "abcdefgh"} <= set(split_secret("session=abcdefgh"))
    assert "Bearer" not in set(split_secret("Bearer abcdefgh"))


URLS = {
    "https://hooks.slack.com/services/T0/B0/XX": "https://hooks.slack.com/services/****/****/****",
    "https://example.com/hook?x=1&token=a&y=2#z": "https://example.com/hook?x=1&token=****&y=2#z",
    "https://example.com/a-long-name-of-2024/in/words": "https://example.com/a-long-name-of-2024/in/words",
    "https://discord.com/api/webhooks/123/abc": "https://discord.com/api/webhooks/123/****",
    "https://acme.tines.com/webhook/a/b": "https://acme.tines.com/webhook/****/****",
    "https://h.example/Abc1234567890defgh?a&api%5Fkey=1": "https://h.example/****?a&api%5Fkey=****",
    "https://h.example/?code=1&code=2": "https://h.example/?code=****&code=****",
    "https://u:p@h.example/": "https://****@h.example/",
}


@pytest.mark.parametrize(("url", "shown"), URLS.items())
def test_a_url_is_shown_without_its_secrets_and_is_the_same_when_it_comes_back(url, shown):
    assert mask_url(url) == shown
    assert unmask_url(url, shown) == url
    assert unmask_url(url, shown.replace("/", "/", 1)) == url


def test_the_rest_of_a_masked_url_may_change():
    assert unmask_url("https://h.example/a?token=x", "https://h.example/b?n=1&token=****") == (
        "https://h.example/b?n=1&token=x"
    )


def test_an_origin_has_one_spelling():
    assert get_origin("HTTPS://Example.com./x") == get_origin("https://example.com:443/y")
    assert get_origin("https://example.com") != get_origin("https://example.com:444")
    assert get_origin("https://example.com") != get_origin("http://example.com")
    assert get_origin("https://[::1]:443/") == get_origin("https://[::1]/")
