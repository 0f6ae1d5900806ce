"""Remember: a dispatcher reminds of what it could not write yet, and of nothing else."""

import uuid
from types import SimpleNamespace

import pytest

from eventsinks.models import Incident
from eventsinks.sending import postpone
from eventsinks.sending.remember import MemoryWrites
from tests.destinations.examples import make_message

pytestmark = pytest.mark.django_db


@pytest.fixture
def claimed(make_webhook):
    return SimpleNamespace(id=uuid.uuid4(), destination_id=make_webhook().id)


class Aside(postpone.PostponedWrites):
    """Does at once what it is given, or, where `locked`, keeps it."""

    locked = False

    def write(self, about, do, seconds=0.0, rests=frozenset):
        self.do = do
        return not self.locked and do()


def reminded(memories, claimed):
    """Return what the next message of the incident says beside what it was read with."""
    message = make_message(dedup_key="i")
    message.memory = {"read": 1}
    memories.remind([claimed], [message])
    return message.memory


def test_what_is_written_is_read_again_and_not_reminded_of(claimed):
    memories = MemoryWrites(Aside())
    memories.remember(claimed, make_message(dedup_key="i"), {"ts": "1"})
    assert Incident.objects.get().memory == {"ts": "1"}
    assert reminded(memories, claimed) == {"read": 1}


def test_what_waits_for_a_lock_is_reminded_of_until_it_is_written(claimed):
    aside = Aside()
    memories, aside.locked = MemoryWrites(aside), True
    memories.remember(claimed, make_message(dedup_key="i"), {"ts": "1"})
    assert reminded(memories, claimed) == {"ts": "1"}
    assert aside.do()
    assert reminded(memories, claimed) == {"read": 1}


def test_what_is_no_message_is_passed_by(claimed):
    aside = Aside()
    memories, aside.locked = MemoryWrites(aside), True
    memories.remember(claimed, make_message(dedup_key="i"), {"ts": "1"})
    memories.remind([claimed], [ValueError("could not be built")])
