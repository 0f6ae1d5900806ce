"""The broker keeps no time and no content: what a task says, and that a try is one line of the log."""

import ast
import inspect
import json
from pathlib import Path

import pytest

from eventsinks import tasks
from project.celery import app
from tests.helpers.receiver import Receiver, answer

ROOT = Path(__file__).parents[2]
# By these a task would wait in the broker for its time, or be tried again by Celery.
PUT_OFF = {"countdown", "eta", "autoretry_for", "retry_backoff", "max_retries"}


def put_off_in(source):
    """Return the lines in which a task is put off."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if PUT_OFF & {keyword.arg for keyword in call.keywords}]


@pytest.mark.guarantee("R9")
def test_no_task_is_put_off_until_its_time():
    files = [path for top in ("eventsinks", "project") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 150
    assert not {str(path): lines for path in files if (lines := put_off_in(path.read_text()))}


@pytest.mark.parametrize(
    "call", ["deliver.apply_async((1,), countdown=60)", "shared_task(autoretry_for=(OSError,))"]
)
def test_a_task_that_is_put_off_is_seen(call):
    assert put_off_in(call) == [1]


@pytest.mark.guarantee("R10")
def test_a_task_carries_a_number_at_most():
    ours = {name: task for name, task in app.tasks.items() if name.startswith(tasks.__name__)}
    assert len(ours) > 5
    carried = {
        name: [one.annotation for one in inspect.signature(task.run).parameters.values()]
        for name, task in ours.items()
    }
    assert {name: kinds for name, kinds in carried.items() if kinds} == {f"{tasks.__name__}.stream": ["int"]}


@pytest.mark.guarantee("O5")
def test_a_try_is_one_line_of_the_log(make_webhook, make_alert, dispatcher, settings, capsys):
    settings.LOG_FORMAT, settings.LOG_LEVEL = "json", "INFO"
    with Receiver(lambda got: answer(500 if got.path == "/ill" else 200)) as receiver:
        make_webhook(receiver.url("/well")), make_webhook(receiver.url("/ill"))
        make_alert()
        dispatcher.run()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"delivery.tried"' in line]
    told = sorted((line["outcome"], line["state"], line["status"]) for line in lines)
    assert told == [("delivered", "delivered", 200), ("temporary", "pending", 500)]
