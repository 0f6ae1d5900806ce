"""The pages keep their word: links lead somewhere, and the worked example is a destination type like any other."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.models.limits import RATES, TenantLimits, describe_limit, get_burst
from eventsinks.models.options import Options
from tests.destinations.every_type import test_contract as contract

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PAGE = "adding-a-destination.md"
ON_EVERY_TYPE = {
    name: list(inspect.signature(check).parameters)
    for name, check in sorted(vars(contract).items())
    if name.startswith("test_") and list(inspect.signature(check).parameters) in (["key"], ["key", "subtests"])
}


@pytest.fixture
def worked_example(monkeypatch):
    """Add the worked example to the destination types; return its test module."""
    kind, test = re.findall(r"^```python\n(.+?)^```$", (DOCS / PAGE).read_text(), re.MULTILINE | re.DOTALL)
    module = made(monkeypatch, "eventsinks.destinations.telegram", kind)
    monkeypatch.setitem(DESTINATION_TYPES, module.Telegram.key, module.Telegram)
    return made(monkeypatch, "tests.destinations.test_telegram", test)


def made(monkeypatch, name, source):
    """Return a module of this source, which can be imported."""
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, name, "exec"), vars(module))
    return module


def test_a_link_leads_to_a_file():
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())]
    assert links
    assert not [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]


def test_the_index_lists_every_page():
    listed = re.findall(r"^- \[.+?\]\((.+?)\)", (DOCS / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES if page.name != "README.md")


def test_a_decision_is_one_page():
    words = {page.name: len(page.read_text().split()) for page in (DOCS / "decisions").glob("*.md")}
    assert words
    assert not {name: count for name, count in words.items() if count > 450}


@pytest.mark.parametrize("name", ON_EVERY_TYPE)
def test_the_worked_example_keeps_the_contract(worked_example, subtests, name):
    given = {"key": "telegram", "subtests": subtests}
    getattr(contract, name)(*[given[parameter] for parameter in ON_EVERY_TYPE[name]])


def test_the_worked_example_survives_hostile_alerts(worked_example, subtests):
    for text in contract.HOSTILE_TEXTS:
        with subtests.test(text=text[:80]):
            contract.assert_built_or_refused("telegram", contract.hostile(text))


def test_the_tests_of_the_worked_example_pass(worked_example):
    checks = [check for name, check in vars(worked_example).items() if name.startswith("test_")]
    assert len(checks) == 2
    for check in checks:
        check()


def test_the_api_tells_of_every_option_what_its_declaration_says():
    table = [f"| `{name}` | {option.description} |" for name, option in Options.model_fields.items()]
    assert "\n".join(["| option | meaning |", "|---|---|", *table, ""]) in (DOCS / "api.md").read_text()


def test_operating_lists_every_limit_as_it_is():
    page, limits = (DOCS / "operating.md").read_text(), TenantLimits.model_validate({})
    for name, field in TenantLimits.model_fields.items():
        value = getattr(limits, name)
        burst = f"{get_burst(name, value):,}" if name in RATES else ""
        assert f"| `{name}` | {describe_limit(name, value)} | {burst} | {field.description} |" in page
