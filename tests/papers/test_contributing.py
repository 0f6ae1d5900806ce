"""CONTRIBUTING.md names what there is, and the hooks before a commit are steps of CI."""

import re
from pathlib import Path

import pytest
import yaml

import dev
from eventsinks.lib.version import VERSION

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def test_a_command_that_is_named_is_there():
    named = set(re.findall(r"\bmake ([a-z]+)", PAGE))
    assert named > {"test", "lint"}
    assert not named - set(dev.COMMANDS)


@pytest.mark.parametrize(
    "place", re.findall(r"\]\(([^)#]+)", PAGE) + re.findall(r"\b(?:tests|project)/[\w/.]*", PAGE)
)
def test_a_place_that_is_named_is_there(place):
    assert (ROOT / place).exists()


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_is_a_step_of_ci(hook):
    assert hook["entry"].replace("python3 dev.py", "make") in (ROOT / ".ci" / "run").read_text()


def test_the_changelog_tells_of_this_version_after_what_is_not_released():
    headings = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", CHANGELOG, re.MULTILINE)
    assert headings[:2] == ["Unreleased", VERSION]


def test_the_changelog_has_the_form_that_it_names():
    dates = re.findall(r"^## \[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
    assert len(re.findall(r"^## ", CHANGELOG, re.MULTILINE)) == len(dates) + 1
    assert dates == sorted(dates, reverse=True)
    kinds = re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)
    assert not set(kinds) - {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
