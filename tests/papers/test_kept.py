"""Every table has an answer to the question how long its rows are kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps

from eventsinks.models.retention import KEPT, get_retention
from eventsinks.sweeping.forget import OVER

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
SECTION = OPERATING.partition("## What is kept, and for how long")[2].partition("## When something dies")[0]


def rows(heading):
    table = SECTION.partition(heading)[2].partition("\n\n")[0]
    lines = [row.strip("|").split("|") for row in table.splitlines() if row.startswith("|")]
    return [[cell.strip() for cell in row] for row in lines]


def test_the_table_of_tables_names_every_model_once():
    told = [name for row in rows("| table | kept |\n|---|---|") for name in row[0].split(", ")]
    assert sorted(told) == sorted(model.__name__ for model in apps.get_models())


def test_the_days_are_those_of_the_code():
    days = {}
    for names, number, _ in rows("| name | days | what |\n|---|---|---|"):
        days |= dict.fromkeys(re.findall(r"`(\w+)`", names), int(re.match(r"[\d,]+", number)[0].replace(",", "")))
    assert days == {name: getattr(get_retention({}), name) for name in KEPT}


@pytest.mark.django_db
def test_what_ended_long_ago_can_be_asked_for_in_every_table_that_forgets():
    from django.utils import timezone

    assert all(not over(timezone.now()).exists() for over in OVER.values())
