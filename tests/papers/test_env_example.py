"""`.env.example` tells of every setting that settings.py reads, and tells the truth."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "project" / "settings.py"
EXAMPLE = (ROOT / ".env.example").read_text()
LISTED = dict(re.findall(r"^#([A-Z][A-Z_]*)=(.*)$", EXAMPLE, re.MULTILINE))
IN_WORDS = {"EVENTSINKS_VAR"}  # its default is a whole path, which the comment tells
# Prints what settings.py makes of the environment, as far as it can be written down.
SHOW = """
import json, runpy, sys
for name, value in sorted(runpy.run_path(sys.argv[1]).items()):
    if name.isupper() and isinstance(value, str | int | float | list | dict | None):
        print(name, json.dumps(value, default=lambda other: type(other).__name__))
"""


def settings_read():
    """Return the names that settings.py reads, each with whether it is a secret."""
    found = {}
    for node in ast.walk(ast.parse(SETTINGS.read_text())):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        name, function = node.args[0].value, ast.unparse(node.func)
        if re.fullmatch(r"secret|env\.(?!read_env)\w+", function):
            found[name] = found.get(name, False) or function == "secret"
    return found


def shown(directory):
    """Return the settings of a project in `directory`, with PostgreSQL and nothing else in its environment."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": "postgres://eventsinks@db.example/eventsinks",
        "SECRET_KEY": "s" * 50,
        "EVENTSINKS_ENCRYPTION_KEYS": "k",
    }
    copy = directory / "project" / "settings.py"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(SETTINGS.read_text())
    command = [sys.executable, "-c", SHOW, str(copy)]
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=True)
    return {name: json.loads(value) for name, value in (line.split(" ", 1) for line in done.stdout.splitlines())}


def test_it_lists_exactly_the_settings_that_are_read():
    assert sorted(LISTED) == sorted(settings_read())
    assert len(settings_read()) > 15


def test_every_setting_has_a_comment_of_its_own():
    is_secret = settings_read()
    for name in LISTED:
        above = EXAMPLE[: EXAMPLE.index(f"\n#{name}=")].rpartition("\n")[2]
        assert above.startswith("# "), name
        assert ("# Secret." in EXAMPLE.split(f"\n#{name}=")[0].rpartition("\n\n")[2]) == is_secret[name], name


def test_copying_it_changes_nothing():
    assert not [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")]


def test_every_default_in_it_is_the_default(tmp_path):
    before = shown(tmp_path)
    lines = [f"{name}={value}" for name, value in LISTED.items() if value and name not in IN_WORDS]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert shown(tmp_path) == before


def test_a_changed_line_changes_a_setting(tmp_path):
    before = shown(tmp_path)
    (tmp_path / ".env").write_text("EVENTSINKS_TIMEOUT=21")
    after = shown(tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["EVENTSINKS_TIMEOUT"]
