"""Asked: looks for due integrations start one task of each, and a broker that is away keeps nobody back."""

import time

from eventsinks import tasks
from eventsinks.streaming import asked
from eventsinks.streaming.asked import forget_asked, is_first_to_ask


def test_of_one_integration_one_task_waits_and_of_another_another(shared_by_all):
    assert [is_first_to_ask(id) for id in (7, 7, 8)] == [True, False, True]


def test_when_the_task_has_begun_the_next_look_may_start_another(shared_by_all):
    assert is_first_to_ask(7)
    forget_asked(7)
    assert is_first_to_ask(7)


def test_a_task_that_was_lost_is_made_up_for(shared_by_all, monkeypatch):
    monkeypatch.setattr(asked, "ASKED_FOR", 20)
    assert is_first_to_ask(7)
    time.sleep(0.1)
    assert is_first_to_ask(7)


def test_without_a_broker_every_look_may_start_one():
    assert is_first_to_ask(7)
    assert is_first_to_ask(7)


def test_two_looks_start_one_task(shared_by_all, monkeypatch):
    started = []
    monkeypatch.setattr(tasks, "find_due_positions", lambda: [7])
    monkeypatch.setattr(tasks.stream, "apply_async", lambda arguments: started.append(arguments))
    assert (tasks.look_at_streams(), tasks.look_at_streams()) == (1, 1)
    assert started == [(7,)]
