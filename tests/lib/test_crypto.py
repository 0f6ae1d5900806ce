"""Secrets at rest: what is sealed tells nothing, names its key, and can't be altered."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.lib.secrets.crypto import CannotOpen, SecretBox, make_key, make_key_id

OLD, NEW = make_key(), make_key()
HERE = "table.column|row|tenant"


@settings(deadline=None, max_examples=100, database=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_to_the_same_text(text):
    box = SecretBox([NEW])
    assert box.open(box.seal(text, HERE), HERE) == text


def test_sealing_twice_never_gives_the_same():
    box = SecretBox([NEW])
    assert box.seal("hunter2", HERE) != box.seal("hunter2", HERE)


def test_a_sealed_text_shows_neither_text_nor_key():
    sealed = SecretBox([NEW]).seal("hunter2-and-more", HERE)
    assert "hunter2" not in sealed
    assert base64.urlsafe_b64encode(b"hunter2-and-more").decode() not in sealed
    assert NEW not in sealed


def test_an_older_key_still_opens_and_the_newest_seals():
    before = SecretBox([OLD]).seal("hunter2", HERE)
    rotated = SecretBox([NEW, OLD])
    assert rotated.open(before, HERE) == "hunter2"
    assert rotated.seal("hunter2", HERE).startswith(make_key_id(NEW) + ":")
    assert not rotated.is_current(before)
    assert rotated.is_current(rotated.seal("hunter2", HERE))


def test_a_missing_key_is_named():
    sealed = SecretBox([OLD]).seal("hunter2", HERE)
    with pytest.raises(CannotOpen, match=make_key_id(OLD)):
        SecretBox([NEW]).open(sealed, HERE)


def test_a_text_that_was_never_sealed_is_refused_and_not_repeated():
    with pytest.raises(CannotOpen) as refused:
        SecretBox([NEW]).open("xoxb-plain-token", HERE)
    assert "xoxb" not in str(refused.value)
    with pytest.raises(CannotOpen) as refused:
        SecretBox([NEW]).open("user:password", HERE)
    assert "user" not in str(refused.value)


@pytest.mark.parametrize("position", [10, 30, -10, -1])
def test_an_altered_text_is_refused(position):
    box = SecretBox([NEW])
    sealed = list(box.seal("hunter2", HERE))
    sealed[position] = "A" if sealed[position] != "A" else "B"
    with pytest.raises(CannotOpen):
        box.open("".join(sealed), HERE)


@pytest.mark.parametrize(
    "token", ["", "x", "é", "====", "gAAAAA", "v2:", "v2:é", "v2:AAAA", "v2:====", "v2:" + "A" * 64]
)
def test_rubbish_under_a_known_key_is_refused(token):
    with pytest.raises(CannotOpen, match="altered"):
        SecretBox([NEW]).open(f"{make_key_id(NEW)}:{token}", HERE)


def test_a_text_relabelled_with_another_key_is_refused():
    token = SecretBox([OLD]).seal("hunter2", HERE).partition(":")[2]
    with pytest.raises(CannotOpen, match="altered"):
        SecretBox([NEW, OLD]).open(f"{make_key_id(NEW)}:{token}", HERE)


@pytest.mark.parametrize("keys", [[], [""], ["short"], ["!" * 44], [NEW[:-1]]])
def test_a_bad_key_is_refused_at_once(keys):
    with pytest.raises(ValueError, match=r".+"):
        SecretBox(keys)


def test_a_new_key_is_new():
    assert make_key() != make_key()
    assert SecretBox([make_key()])


@pytest.mark.parametrize(
    "place", ["table.column|row|other", "table.column|other|tenant", "table.other|row|tenant", ""]
)
def test_what_is_sealed_for_one_place_opens_in_no_other(place):
    with pytest.raises(CannotOpen, match="another row"):
        SecretBox([NEW]).open(SecretBox([NEW]).seal("hunter2", HERE), place)


def test_a_text_of_the_first_version_opens_only_where_that_is_asked_for():
    box = SecretBox([NEW])
    old = box.seal_unbound("hunter2")
    assert box.open(old, HERE, unbound=True) == "hunter2"
    assert not box.is_current(old)
    with pytest.raises(CannotOpen, match="not bound"):
        box.open(old, HERE)
