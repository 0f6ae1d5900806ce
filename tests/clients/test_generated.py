"""Clients that are generated from openapi.yml: they compile, and one of them works against a running server.

TEST_NODE_BIN is where the programs of npm's packages are; without it, what is Node's is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.environment import ROOT, python_of

HERE = Path(__file__).parent
SCHEMA = ROOT / "openapi.yml"
NODE_BIN = os.environ.get("TEST_NODE_BIN")
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def run(*command, given="", cwd=None, **environment):
    done = subprocess.run(
        [*map(str, command)],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def client_python():
    return python_of("generated")


@pytest.fixture(scope="session")
def generated(client_python, tmp_path_factory):
    """Return a directory with the package `generated`, made from openapi.yml."""
    generator = client_python.parent / "openapi-python-client"
    path = f"{client_python.parent}{os.pathsep}{os.environ['PATH']}"
    package = tmp_path_factory.mktemp("client") / "generated"
    done = run(generator, "generate", "--path", SCHEMA, "--output-path", package, "--meta", "none", PATH=path)
    told = done.stdout + done.stderr
    left_out = told.count("Unsupported content type application/x-ndjson")  # it knows no NDJSON
    assert told.count("WARNING") == left_out == 4, told
    return package.parent


def test_a_generated_python_client_compiles_and_its_use_has_the_right_types(client_python, generated):
    run(client_python, "-m", "compileall", "-q", generated)
    command = [client_python, "-m", "mypy", "--strict", "--follow-imports", "silent", "--cache-dir", generated]
    run(*command, HERE / "generated_script.py", MYPYPATH=str(generated), cwd=generated)


def test_a_generated_python_client_makes_a_sink_sends_an_alert_and_lists_its_delivery(
    client_python, generated, live_server, acme, acme_key
):
    given = json.dumps({"url": live_server.url, "key": acme_key, "tenant_id": str(acme.id)})
    done = run(client_python, HERE / "generated_script.py", given=given, PYTHONPATH=str(generated))
    seen = json.loads(done.stdout)
    assert len(set(seen.pop("alert"))) == len(set(seen.pop("sink"))) == 1
    assert seen.pop("year") >= 2026
    assert seen == {"type": "webhook", "url": "https://example.com/hook", "owed": 1, "state": "pending"}


if NODE_BIN:  # not skipped where it is not: the suite needs nothing but Python

    def test_redocly_finds_nothing_in_the_schema(tmp_path):
        done = run(Path(NODE_BIN) / "redocly", "lint", SCHEMA, "--format=json", cwd=tmp_path, **QUIET)
        assert json.loads(done.stdout)["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}

    def test_the_types_for_typescript_take_the_smallest_alert_and_no_nameless_one(tmp_path):
        run(Path(NODE_BIN) / "openapi-typescript", SCHEMA, "-o", tmp_path / "generated.d.ts")
        use = tmp_path / "use.ts"
        use.write_text((HERE / "generated_use.ts").read_text())
        run(Path(NODE_BIN) / "tsc", "--noEmit", "--strict", "--lib", "es2022,dom", use, cwd=tmp_path)
