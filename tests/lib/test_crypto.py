"""Secrets at rest: what is sealed tells nothing, names its key, and can't be altered."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.lib.crypto import CannotOpen, SecretBox, key_id, new_key

OLD, NEW = new_key(), new_key()


@settings(deadline=None, max_examples=100, database=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_to_the_same_text(text):
    box = SecretBox([NEW])
    assert box.open(box.seal(text)) == text


def test_sealing_twice_never_gives_the_same():
    box = SecretBox([NEW])
    assert box.seal("hunter2") != box.seal("hunter2")


def test_a_sealed_text_shows_neither_text_nor_key():
    sealed = SecretBox([NEW]).seal("hunter2-and-more")
    assert "hunter2" not in sealed
    assert base64.urlsafe_b64encode(b"hunter2-and-more").decode() not in sealed
    assert NEW not in sealed


def test_an_older_key_still_opens_and_the_newest_seals():
    before = SecretBox([OLD]).seal("hunter2")
    rotated = SecretBox([NEW, OLD])
    assert rotated.open(before) == "hunter2"
    assert rotated.seal("hunter2").startswith(key_id(NEW) + ":")
    assert not rotated.is_current(before)
    assert rotated.is_current(rotated.seal("hunter2"))


def test_a_missing_key_is_named():
    sealed = SecretBox([OLD]).seal("hunter2")
    with pytest.raises(CannotOpen, match=key_id(OLD)):
        SecretBox([NEW]).open(sealed)


def test_a_text_that_was_never_sealed_is_refused_and_not_repeated():
    with pytest.raises(CannotOpen) as refused:
        SecretBox([NEW]).open("xoxb-plain-token")
    assert "xoxb" not in str(refused.value)
    with pytest.raises(CannotOpen) as refused:
        SecretBox([NEW]).open("user:password")
    assert "user" not in str(refused.value)


@pytest.mark.parametrize("position", [10, 30, -10, -1])
def test_an_altered_text_is_refused(position):
    box = SecretBox([NEW])
    sealed = list(box.seal("hunter2"))
    sealed[position] = "A" if sealed[position] != "A" else "B"
    with pytest.raises(CannotOpen):
        box.open("".join(sealed))


@pytest.mark.parametrize("token", ["", "x", "é", "====", "gAAAAA"])
def test_rubbish_under_a_known_key_is_refused(token):
    with pytest.raises(CannotOpen, match="altered"):
        SecretBox([NEW]).open(f"{key_id(NEW)}:{token}")


def test_a_text_relabelled_with_another_key_is_refused():
    token = SecretBox([OLD]).seal("hunter2").partition(":")[2]
    with pytest.raises(CannotOpen, match="altered"):
        SecretBox([NEW, OLD]).open(f"{key_id(NEW)}:{token}")


@pytest.mark.parametrize("keys", [[], [""], ["short"], ["!" * 44], [NEW[:-1]]])
def test_a_bad_key_is_refused_at_once(keys):
    with pytest.raises(ValueError, match=r".+"):
        SecretBox(keys)


def test_a_new_key_is_new():
    assert new_key() != new_key()
    assert SecretBox([new_key()])
