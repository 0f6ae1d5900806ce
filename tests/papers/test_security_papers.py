"""What others check us by: hashes in the lock files, a bill of materials made of them, and SECURITY.md."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import dev

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SECURITY = (ROOT / "SECURITY.md").read_text()
LOCKS = ("requirements.lock", "requirements-dev.lock")
# Of the packages, of the tool that wrote it, and of the format.
HOSTS = {"pypi.org", "github.com", "cyclonedx-bom-tool.readthedocs.io", "cyclonedx-python-library.readthedocs.io"}


def pinned(lock):
    """Return the hashes of each package in a lock file, by name and version."""
    found, current = {}, set()
    for line in (ROOT / lock).read_text().splitlines():
        if named := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)", line):
            current = found.setdefault((named[1], named[2]), set())
        current |= set(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def written(folder, **environment):
    """Return what `make sbom` writes."""
    (line,) = dev.COMMANDS["sbom"][2]
    place = str(folder / "sbom.json")
    command = [sys.executable, *(place if part == "sbom.cdx.json" else part for part in line)]
    assert place in command
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True)
    return (folder / "sbom.json").read_text()


@pytest.fixture(scope="module")
def sbom(tmp_path_factory):
    return written(tmp_path_factory.mktemp("sbom"))


@pytest.mark.guarantee("S22")
@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_installed_is_pinned_with_its_hashes(lock):
    packages = pinned(lock)
    assert len(packages) > 50
    assert [package for package, hashes in packages.items() if not hashes] == []
    assert "--require-hashes" in (ROOT / "dev.py").read_text()


@pytest.mark.guarantee("S22")
def test_the_bill_of_materials_holds_what_is_pinned_to_run_and_nothing_else(sbom):
    components = json.loads(sbom)["components"]
    hashes = {
        (component["name"], component["version"]): {
            entry["content"]
            for reference in component["externalReferences"]
            for entry in reference["hashes"]
            if entry["alg"] == "SHA-256"
        }
        for component in components
    }
    assert hashes == pinned("requirements.lock")
    assert len(components) == len(hashes)
    assert all(component["purl"].startswith("pkg:pypi/") for component in components)


def test_the_bill_of_materials_is_of_this_version(sbom):
    told = json.loads(sbom)
    assert (told["bomFormat"], told["metadata"]["component"]["version"]) == ("CycloneDX", PROJECT["version"])


def test_the_bill_of_materials_is_the_same_wherever_and_whenever_it_is_written(sbom, tmp_path):
    mirror = "https://user:hunter2@mirror.corp.example/simple"
    names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
    again = written(
        tmp_path, **dict.fromkeys(names, mirror), TZ="Asia/Tokyo", PYTHONHASHSEED="7", HOME=str(tmp_path)
    )
    assert again == sbom
    assert not {"serialNumber", "timestamp"} & {*json.loads(sbom), *json.loads(sbom)["metadata"]}


def test_the_bill_of_materials_tells_nothing_of_this_machine(sbom):
    assert {urlsplit(url).hostname for url in re.findall(r'"(https://[^"]+)"', sbom)} <= HOSTS
    assert not [path for path in (str(ROOT), str(Path.home()), sys.prefix, "/tmp") if path in sbom]


@pytest.mark.guarantee("S22")
def test_the_bill_of_materials_is_written_by_ci_and_not_kept():
    assert "make sbom" in (ROOT / ".ci" / "run").read_text()
    assert "sbom.cdx.json" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_versions_that_are_looked_after_hold_this_one():
    major, minor, _ = PROJECT["version"].split(".")
    rows = re.findall(r"^\| (\S+) \| (yes|no) \|$", SECURITY, re.MULTILINE)
    assert [version for version, mended in rows if mended == "yes"] == [f"{major}.{minor}.x"]


@pytest.mark.parametrize("heading", ["Supported versions", "Reporting a vulnerability", "What is promised"])
def test_security_md_says_what_people_look_for(heading):
    assert f"\n## {heading}\n" in SECURITY


def test_the_readme_leads_to_security_md():
    assert "[SECURITY.md](SECURITY.md)" in (ROOT / "README.md").read_text()


def test_security_md_names_no_person_and_no_place_that_there_is_not():
    assert not re.findall(r"[\w.]+@[\w.]+", SECURITY)
    for target in re.findall(r"\]\(([^)#]+)\)", SECURITY):
        assert target.startswith("https://") or (ROOT / target).exists(), target
