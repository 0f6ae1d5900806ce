"""Sending lag: what workers tell of it reaches the web servers, and is forgotten soon."""

import time
import uuid

import pytest

from eventsinks.limits import sending_lag

ONE, OTHER = uuid.uuid4(), uuid.uuid4()


@pytest.fixture(autouse=True)
def forget():
    sending_lag.forget()


def read(tenant_id):
    """Return the lag as a process finds it that has just started."""
    sending_lag.forget()
    sending_lag.read_lags([tenant_id])
    return sending_lag.find_lag(tenant_id)


def test_a_lag_reaches_other_processes_and_no_other_tenant(shared_by_all):
    sending_lag.tell_lags({ONE: 4.26})
    assert (read(ONE), read(OTHER)) == (4.3, 0.0)


def test_a_lag_of_which_nobody_speaks_any_more_is_forgotten(shared_by_all, monkeypatch):
    monkeypatch.setattr(sending_lag, "TOLD_FOR", 1)
    sending_lag.tell_lags({ONE: 5.0})
    time.sleep(0.05)
    assert read(ONE) == 0.0


def test_a_lag_that_was_read_long_ago_counts_no_more(shared_by_all, monkeypatch):
    sending_lag.tell_lags({ONE: 5.0})
    assert read(ONE) == 5.0
    monkeypatch.setattr(sending_lag, "KNOWN_FOR", 0.0)
    assert sending_lag.find_lag(ONE) == 0.0


def test_without_a_broker_nobody_is_slowed_down():
    sending_lag.tell_lags({ONE: 50.0})
    assert read(ONE) == 0.0


@pytest.mark.parametrize(("lag", "pause"), [(0.0, 0.0), (0.5, 0.0), (1.5, 0.2), (5.5, 1.0), (29.0, 1.0)])
def test_the_pause_grows_with_the_lag_up_to_a_second(shared_by_all, lag, pause):
    sending_lag.tell_lags({ONE: lag})
    read(ONE)
    assert sending_lag.find_pause(ONE) == pytest.approx(pause)
    assert not sending_lag.is_too_far_behind(ONE)


def test_the_lag_of_many_tenants_is_one_question_and_known_for_a_moment(shared_by_all, monkeypatch):
    asked = []
    ask = sending_lag.ask_broker
    monkeypatch.setattr(sending_lag, "ask_broker", lambda question: asked.append(1) or ask(question))
    sending_lag.tell_lags({ONE: 2.0, OTHER: 3.0})
    sending_lag.read_lags([ONE, OTHER])
    sending_lag.read_lags([OTHER, ONE])
    assert len(asked) == 2
    assert (sending_lag.find_lag(ONE), sending_lag.find_lag(OTHER)) == (2.0, 3.0)


def test_what_a_process_remembers_is_bounded(shared_by_all, monkeypatch):
    monkeypatch.setattr(sending_lag, "MOST", 10)
    for _ in range(50):
        sending_lag.read_lags([uuid.uuid4()])
    assert len(sending_lag._known) <= 11
