"""The Dockerfile and docker-compose.yml are valid, agree with each other, and name only what there is."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from celery.bin.celery import celery
from django.conf import settings
from django.core.management import get_commands

from eventsinks.checks import MARGIN
from project import serve
from tests.papers.test_env_example import settings_read

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}

every_service = pytest.mark.parametrize("name", SERVICES)
every_service_of_ours = pytest.mark.parametrize("name", OURS)


def ran(*command):
    """Run a program of the environment; return its exit status with what it wrote."""
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def instruction(word):
    """Return the arguments of the last `word` [...] of the Dockerfile."""
    return ast.literal_eval(re.findall(rf"\b{word} (\[.+\])$", DOCKERFILE, re.MULTILINE)[-1])


def commands_of(service):
    """Return the commands of a service as words; a shell's script is several."""
    words = service["command"]
    return [part.split() for part in words[2].split("&&")] if words[0] == "sh" else [words]


def parsed(command, words, **context):
    """Check a click program's options. Raises click.UsageError."""
    return command.make_context(command.name, list(words), **context)


def test_compose_is_valid():
    status, said = ran("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert status == 0, said


def test_hadolint_finds_nothing_in_the_dockerfile():
    assert ran("hadolint", "Dockerfile") == (0, "")


@pytest.mark.django_db  # the door for web servers proves the encryption keys
@every_service_of_ours
def test_a_command_names_what_there_is(name):
    for program, *words in commands_of(OURS[name]):
        if program == "python" and words[0] == "manage.py":
            assert words[1] in get_commands()
        elif program == "python":
            assert words[:2] == ["-m", serve.__name__]
            assert serve.options().parse_args(words[2:]).host == "0.0.0.0"
        else:
            assert program == "celery"
            assert words[0] == "-A"
            app = importlib.import_module(words[1]).celery_app
            parsed(celery.commands[words[2]], words[3:], obj=SimpleNamespace(app=app))


@every_service_of_ours
def test_an_environment_names_only_settings(name):
    known = settings_read()
    given = OURS[name]["environment"]
    assert not set(given) - set(known) - {f"{setting}_FILE" for setting, secret in known.items() if secret}
    files = {value for setting, value in given.items() if setting.endswith("_FILE")}
    assert files == {f"/run/secrets/{secret}" for secret in OURS[name]["secrets"]}


@every_service
def test_a_service_can_write_only_where_nothing_lasts(name):
    service = SERVICES[name]
    assert service["read_only"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert name == "postgres" or (service["cap_drop"] == ["ALL"] and "volumes" not in service)


@every_service
def test_a_service_stays_up_and_is_looked_at(name):
    restart, health = SERVICES[name]["restart"], SERVICES[name]["healthcheck"]
    assert (restart, "test" in health) == (("no", False) if name == "migrate" else ("unless-stopped", True))


@every_service_of_ours
def test_a_stop_waits_for_what_is_in_flight(name):
    grace = float(OURS[name]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.EVENTSINKS_TIMEOUT + MARGIN


@every_service_of_ours
def test_nothing_starts_before_the_tables_are_there(name):
    waits = {other: wait["condition"] for other, wait in OURS[name]["depends_on"].items()}
    if name == "migrate":
        assert waits == {"postgres": "service_healthy"}
    else:
        assert waits["migrate"] == "service_completed_successfully"
        assert "redis" in waits


def test_only_who_must_go_out_can():
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {"web", "worker"}
    assert COMPOSE["networks"]["inside"]["internal"]
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]


def test_web_is_the_same_in_both_files():
    assert SERVICES["web"]["command"] == instruction("CMD")
    healthcheck = re.search(r"^HEALTHCHECK .* CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)[1]
    assert SERVICES["web"]["healthcheck"]["test"] == ["CMD", *ast.literal_eval(healthcheck)]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_web_is_healthy_when_it_says_so(httpserver, status, healthy):
    httpserver.expect_request("/healthz").respond_with_data(status=status)
    script = SERVICES["web"]["healthcheck"]["test"][-1].replace("8000", str(httpserver.port))
    with pytest.raises(SystemExit) as ended:
        exec(script)
    assert bool(ended.value.code) is not healthy


def test_the_image_is_of_pinned_parts_and_not_root():
    assert re.findall(r"^FROM (\S+:\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.11.14-slim-trixie"]
    assert "--require-hashes" in DOCKERFILE
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", DOCKERFILE, re.MULTILINE)
    assert all(re.search(r":\d", SERVICES[name]["image"]) for name in ("postgres", "redis"))


def test_what_is_copied_is_there_and_let_through():
    copied = set(re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE))
    let_through = re.findall(r"^!(\S+?)/?$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert copied == set(let_through)
    assert all((ROOT / name).exists() for name in copied)
