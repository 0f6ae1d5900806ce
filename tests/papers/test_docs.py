"""The pages keep their word: links lead somewhere, and the worked examples are types like any other."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eventsinks.models.limits import RATES, TenantLimits, describe_limit, get_burst
from eventsinks.models.options import Options

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PAGE = DOCS / "adding-a-destination.md"
# What every type meets, and what stands there once it has been met.
SUITES = {
    "tests/destinations": ("telegram", "splunk"),
    "tests/whole/test_preview.py": ("telegram",),
    "tests/sending/test_budget.py": ("telegram",),
    "tests/sending/test_every_notice.py": ("telegram",),
    "tests/admin/test_event_sinks.py": ("telegram",),
    "tests/admin/test_integrations.py": ("splunk",),
    "tests/api/test_every_type.py": ("telegram", "splunk"),
    "tests/api/netbird/test_integrations.py": ("splunk",),
    "tests/whole/test_written_only.py": ("telegram", "splunk"),
}
# What names types without being asked of each: it must not notice that there are two more.
OTHERS = (
    "platform or golden_ones or other_way_round or clients_own_exceptions or urls_are_found"
    " or places_are_found or begins_with_the_tenant or understood_and_kept or reaches_the_terminal"
)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Return a copy of the tree in which the page's examples are files of their own."""
    tree = tmp_path_factory.mktemp("grown") / "tree"
    # What is compiled comes along, but for what another process writes at this moment.
    shutil.copytree(DOCS.parent, tree, ignore=shutil.ignore_patterns(".*", "var", "*.pyc.*", "node_modules"))
    page = PAGE.read_text()
    found = re.findall(r"^`([a-z_/]+\.py)`\..*?^```python\n(.+?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [path for path, _ in found] == [
        path.format(key)
        for key in ("telegram", "splunk")
        for path in ("eventsinks/destinations/{}.py", "tests/destinations/test_{}.py")
    ]
    for path, source in found:
        (tree / path).write_text(source)
    return tree


def find_examples(tree):
    """Return the files of the worked examples in the tree, as paths in it."""
    keys = ("telegram", "splunk")
    found = [str(path.relative_to(tree)) for key in keys for path in sorted(tree.rglob(f"*{key}.py"))]
    assert len(found) == 4, found
    return found


def call_in(tree, *arguments):
    """Run Python in a tree; return its exit status and what it says."""
    ours = ("PYTEST_", "TEST_", "EVENTSINKS_", "DJANGO_", "DATABASE_", "REDIS_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_worked_examples_meet_every_suite_as_files_of_their_own(grown):
    chosen = ["-k", f"telegram or splunk or {OTHERS}", "-v", "-p", "no:cacheprovider"]
    others = ("tests/api/netbird/test_client.py", "tests/api/test_neighbours.py")
    status, said = call_in(grown, "-m", "pytest", *chosen, *SUITES, *others)
    assert status == 0, said[-10_000:]
    passed = [line for line in said.splitlines() if "PASSED" in line]
    for suite, keys in SUITES.items():
        for key in keys:
            assert any(line.startswith(suite) and key in line for line in passed), (suite, key)


def test_the_worked_examples_are_written_as_the_product_is(grown):
    types = ["mypy", f"--cache-dir={ROOT / '.mypy_cache' / 'grown'}", *find_examples(grown)]
    for tool in (["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"], types):
        status, said = call_in(grown, "-m", *tool)
        assert status == 0, said


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


def functions_in(path):
    """Return the functions that a file defines, those of a class after its name and a dot."""
    body = ast.parse(path.read_text()).body
    methods = [(f"{part.name}.", part.body) for part in body if isinstance(part, ast.ClassDef)]
    return {
        before + part.name
        for before, parts in [("", body), *methods]
        for part in parts
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_the_house_names_files_and_functions_that_are_there():
    path, steps, wrong = None, 0, []
    for file, function in re.findall(r"`([\w/]+\.py)`|`([\w.]+)\(\)`", (DOCS / "house.md").read_text()):
        if file:
            path = ROOT / "eventsinks" / file
            wrong += [] if path.exists() else [file]
        elif path.exists():
            steps += 1
            wrong += [] if function in functions_in(path) else [f"{path.name}: {function}"]
    assert steps > 20
    assert not wrong


def test_the_house_has_the_rooms_whose_imports_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = re.findall(r"\w+", " ".join(contracts[0]["layers"]).replace("eventsinks.", "").replace(".urls", ""))
    rooms = re.findall(r"^\| `(\w+)` \|", (DOCS / "house.md").read_text(), re.MULTILINE)
    assert sorted(rooms) == sorted(layers)


def test_the_api_tells_of_every_option_what_its_declaration_says():
    table = [f"| `{name}` | {option.description} |" for name, option in Options.model_fields.items()]
    assert "\n".join(["| option | meaning |", "|---|---|", *table, ""]) in (DOCS / "api.md").read_text()


def test_operating_lists_every_limit_as_it_is():
    page, limits = (DOCS / "operating.md").read_text(), TenantLimits.model_validate({})
    for name, field in TenantLimits.model_fields.items():
        value = getattr(limits, name)
        burst = f"{get_burst(name, value):,}" if name in RATES else ""
        assert f"| `{name}` | {describe_limit(name, value)} | {burst} | {field.description} |" in page
