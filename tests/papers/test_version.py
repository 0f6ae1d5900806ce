"""The version is written in pyproject.toml, and whatever tells it reads it there."""

import re
import tomllib
from pathlib import Path

import pytest

from eventsinks.lib.net import aws, handles
from eventsinks.lib.version import VERSION

ROOT = Path(__file__).parents[2]
CODE = [ROOT / name for name in ("eventsinks", "project", "templates")]
OTHERS = ("dev.py", "manage.py", "Makefile", "Dockerfile", "docker-compose.yml", ".ci/run", ".env.example")
FILES = [path for folder in CODE for path in folder.rglob("*") if path.suffix in (".py", ".html", ".css", ".js")]
# The version itself, or the name of the project with one.
A_VERSION = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])|\beventsinks[/ :=-]v?\d+\.\d")


def test_the_version_is_that_of_pyproject():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_no_second_version_is_written():
    files = [*FILES, *(ROOT / name for name in OTHERS)]
    assert len(files) > 200
    assert not [str(path.relative_to(ROOT)) for path in files if A_VERSION.search(path.read_text())]


@pytest.mark.parametrize("text", [VERSION, f'"{VERSION}"', "eventsinks/0.1", "eventsinks:9.9.9"])
def test_a_version_is_recognised(text):
    assert A_VERSION.search(text)


def test_requests_tell_the_version():
    assert f"User-Agent: eventsinks/{VERSION}" in handles.OWN_HEADERS
    assert aws.make_settings(path_style=False).user_agent == f"eventsinks/{VERSION}"


def test_the_schema_tells_the_version():
    assert f"\n  version: {VERSION}\n" in (ROOT / "openapi.yml").read_text()[:1000]
