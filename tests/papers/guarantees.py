"""The promises of docs/guarantees.toml and the tests that prove them: `make guarantees` writes docs/guarantees.md.

It runs the tests that are marked `@pytest.mark.guarantee("R3", …)` on SQLite and on TEST_DATABASE_URL. After a run
of the whole suite, `python -m tests.papers.guarantees SQLite=REPORT.xml PostgreSQL=REPORT.xml …` reads its JUnit
reports instead, and fails where the page is not what they say.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
PROMISES = ROOT / "docs" / "guarantees.toml"
PAGE = ROOT / "docs" / "guarantees.md"
DATABASES = ("SQLite", "PostgreSQL")
PARTS = {"R": "Reliability", "S": "Security", "P": "Providers", "O": "Operation"}
# How many statements there are of each part; the page tells of every one.
STATEMENTS = [
    f"{part}{number}" for part, most in zip("RSPO", (35, 22, 6, 8), strict=True) for number in range(1, most + 1)
]
INTRODUCTION = """# Guarantees

What eventsinks promises, the tests that prove it, and what they said. `make guarantees` runs the tests and writes
this page from [guarantees.toml](guarantees.toml) and the marks on the tests. A promise without a test, a mark
without a promise, and a page that tells anything else fail the suite and CI. A test that is *left out* on one
database has nothing to prove there. What is not promised, or not yet, is [at the end](#not-promised).
"""


class Proof(NamedTuple):
    """A test: its file from the top of the tree, and its name after that of its class, if it is in one."""

    file: str
    name: str


def read_promises():
    """Return promise and what is missing of each statement, as documents."""
    return tomllib.loads(PROMISES.read_text())


def find_proofs():
    """Return the tests that are marked, by statement, in the order of files and lines."""
    proofs = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if "mark.guarantee" in text:
            for statement, name in marks_in(text):
                proofs[statement].append(Proof(str(path.relative_to(ROOT)), name))
    return proofs


def marks_in(text):
    """Return pairs of a statement and the name of the test that is marked with it."""
    body = ast.parse(text).body
    classes = [(f"{part.name}.", part.body) for part in body if isinstance(part, ast.ClassDef)]
    return [
        (argument.value, before + test.name)
        for before, parts in [("", body), *classes]
        for test in parts
        if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef)
        for mark in test.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.guarantee"
        for argument in mark.args
    ]


def read_reports(reports):
    """Return the outcome of each test by database, of pairs of a database and the path of a JUnit report."""
    said = defaultdict(set)
    for database, path in reports:
        for case in ElementTree.parse(path).iter("testcase"):
            said[database, find_proof(case.get("classname"), case.get("name"))].add(read_outcome(case))
    return {
        key: next(word for word in ("FAILED", "passed", "left out") if word in words)
        for key, words in said.items()
    }


def find_proof(place, name):
    """Return the test that a report names by its module, perhaps with a class, and its name with its arguments."""
    *parts, last = place.split(".")
    within, module = (f"{last}.", parts) if last.startswith("Test") else ("", [*parts, last])
    return Proof("/".join(module) + ".py", within + name.partition("[")[0])


def read_outcome(case):
    """Return what a report says of one run of a test."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "FAILED"
    return "passed" if case.find("skipped") is None else "left out"


def write_page(promises, proofs, outcomes):
    """Return the page."""
    parts = [INTRODUCTION]
    for letter, title in PARTS.items():
        rows = [
            row
            for statement in STATEMENTS
            if statement[0] == letter and "promise" in promises[statement]
            for row in write_rows(statement, promises[statement]["promise"], proofs[statement], outcomes)
        ]
        parts.append(
            f"## {title}\n\n| | promise | test | {' | '.join(DATABASES)} |\n|---|---|---|---|---|\n{''.join(rows)}"
        )
    missing = [
        f"- **{name}**{' in part' if 'promise' in promises[name] else ''}: {promises[name]['missing']}\n"
        for name in STATEMENTS
        if "missing" in promises[name]
    ]
    return "\n".join([*parts, f"## Not promised\n\n{''.join(missing)}"])


def write_rows(statement, promise, proofs, outcomes):
    """Return a row for each test of a promise; the first one tells the promise."""
    for number, proof in enumerate(proofs):
        told = " | ".join(outcomes.get((database, proof), "not run") for database in DATABASES)
        first = f"**{statement}** | {promise}" if number == 0 else " | "
        yield f"| {first} | [{proof.name}](../{proof.file}) | {told} |\n"


def read_outcomes(page):
    """Return the outcomes that a page tells, as `read_reports` does."""
    rows = re.findall(r"^\|.*\| \[([\w.]+)\]\(\.\./(.+?)\) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    return {
        (database, Proof(file, name)): outcome
        for name, file, *outcomes in rows
        for database, outcome in zip(DATABASES, outcomes, strict=True)
    }


def run_tests(folder):
    """Run the marked tests on both databases; return pairs of a database and its report."""
    if "TEST_DATABASE_URL" not in os.environ:
        sys.exit("Name a PostgreSQL in TEST_DATABASE_URL, as postgres://user@host/database.")
    files = sorted({proof.file for proofs in find_proofs().values() for proof in proofs})
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TEST_")}
    reports = []
    for database, environment in zip(DATABASES, (ours, dict(os.environ)), strict=True):
        reports.append((database, f"{folder}/{database}.xml"))
        command = [
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "--dist",
            "worksteal",
            "-m",
            "guarantee",
            f"--junitxml={reports[-1][1]}",
        ]
        subprocess.call([sys.executable, *command, *files], cwd=ROOT, env=environment)
    return reports


def main(*reports):
    """Write the page, or compare it with reports. Return an exit status."""
    promises, proofs = read_promises(), find_proofs()
    if reports:
        outcomes = read_reports([one.split("=", 1) for one in reports])
        if write_page(promises, proofs, outcomes) == PAGE.read_text():
            return 0
        return "docs/guarantees.md is not what the tests say; run make guarantees."
    with tempfile.TemporaryDirectory() as folder:
        outcomes = read_reports(run_tests(folder))
    PAGE.write_text(write_page(promises, proofs, outcomes))
    return int("FAILED" in outcomes.values())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
