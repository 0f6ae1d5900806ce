"""docs/guarantees.md is what the promises, the marks on the tests and the newest run say."""

import pytest

from tests.papers import guarantees
from tests.papers.guarantees import DATABASES, PAGE, STATEMENTS, Proof

PROMISES, PROOFS = guarantees.read_promises(), guarantees.find_proofs()
REPORT = """<testsuites><testsuite>
<testcase classname="tests.lib.test_http" name="test_a[1]"/>
<testcase classname="tests.lib.test_http" name="test_a[2]"><skipped message="no"/></testcase>
<testcase classname="tests.lib.test_http" name="test_b[1]"/>
<testcase classname="tests.lib.test_http" name="test_b[2]"><failure>no</failure></testcase>
<testcase classname="tests.lib.test_http.TestAll" name="test_a"><skipped message="no"/></testcase>
</testsuite></testsuites>"""


def test_every_statement_is_promised_or_said_not_to_be():
    assert list(PROMISES) == STATEMENTS
    assert not [name for name, said in PROMISES.items() if not said or set(said) - {"promise", "missing"}]


def test_a_promise_has_a_test_and_a_mark_names_a_promise():
    promised = {name for name, said in PROMISES.items() if "promise" in said}
    assert {name: len(proofs) for name, proofs in PROOFS.items()}.keys() == promised


def test_every_mark_is_found():
    written = sum(
        path.read_text().count("@pytest.mark.guarantee(")
        for path in (guarantees.ROOT / "tests").rglob("test_*.py")
        if path.name != "test_guarantees.py"
    )
    assert len({proof for proofs in PROOFS.values() for proof in proofs}) == written > 150


def test_the_page_is_what_the_command_writes_and_every_test_has_passed():
    page = PAGE.read_text()
    outcomes = guarantees.read_outcomes(page)
    assert guarantees.write_page(PROMISES, PROOFS, outcomes) == page  # otherwise: make guarantees
    for proof in {proof for proofs in PROOFS.values() for proof in proofs}:
        told = {outcomes[database, proof] for database in DATABASES}
        assert "passed" in told, proof
        assert told <= {"passed", "left out"}, proof


def test_a_report_tells_one_outcome_of_each_test(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    outcomes = guarantees.read_reports([("SQLite", report)])
    assert outcomes == {
        ("SQLite", Proof("tests/lib/test_http.py", "test_a")): "passed",
        ("SQLite", Proof("tests/lib/test_http.py", "test_b")): "FAILED",
        ("SQLite", Proof("tests/lib/test_http.py", "TestAll.test_a")): "left out",
    }


@pytest.mark.parametrize("database", DATABASES)
def test_a_report_that_says_anything_else_than_the_page_is_told(database, tmp_path):
    told = guarantees.read_outcomes(PAGE.read_text())
    reports = []
    for name in DATABASES:
        reports.append(f"{name}={tmp_path / name}.xml")
        cases = [write_case(proof, word) for (of, proof), word in told.items() if of == name]
        (tmp_path / f"{name}.xml").write_text(f"<testsuite>{''.join(cases)}</testsuite>")
    assert guarantees.main(*reports) == 0
    path = tmp_path / f"{database}.xml"
    path.write_text(path.read_text().replace("/>", "><failure/></testcase>", 1))
    assert "make guarantees" in guarantees.main(*reports)


def write_case(proof, word):
    """Return a case of a report."""
    *within, name = proof.name.split(".")
    place = ".".join([proof.file.removesuffix(".py").replace("/", "."), *within])
    skipped = "" if word == "passed" else "<skipped/>"
    end = f">{skipped}</testcase>" if skipped else "/>"
    return f'<testcase classname="{place}" name="{name}"{end}'
