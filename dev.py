"""The developer's commands, for a machine with only Python: `python3 dev.py COMMAND [ARGUMENTS]`.

The first use makes `.venv` from the hashed lock files, and so does each change of them. `make COMMAND` is the
same.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

if sys.version_info < (3, 11):  # noqa: UP036 - this runs before anything is installed
    sys.exit("eventsinks needs Python 3.11 or newer; this is " + sys.version.split()[0])

TOP = pathlib.Path(__file__).resolve().parent
VENV = TOP / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK, DEV_LOCK = TOP / "requirements.lock", TOP / "requirements-dev.lock"
NO_INSTALLER = """This Python has neither pip nor ensurepip, and uv is not on PATH.
On Debian and Ubuntu: apt install python3-venv"""
WORKERS = min(os.cpu_count() or 1, 8)  # processes that share the tests
# Each process runs its own share in order, and then takes over from others. So files with costly fixtures stay
# together, and slow files at the end leave no process idle.
TEST = ["-m", "pytest", "-n", str(WORKERS), "--dist", "worksteal"]
COMPILE = ["-m", "uv", "pip", "compile", "--universal", "--generate-hashes", "--no-header", "--quiet"]
# The same lock gives the same bytes. The index is the public one, even if this machine installs from another.
SBOM = [
    "-W",
    "ignore",
    "-m",
    "cyclonedx_py",
    "requirements",
    "--output-reproducible",
    "-i",
    "https://pypi.org/simple",
]

# name: (what it does, its lock, the arguments of Python; ARGUMENTS are added to the last)
COMMANDS = {
    "run": ("run everything until Ctrl-C, on the first free port from PORT", LOCK, [["manage.py", "run"]]),
    "demo": ("deliver one alert from end to end, show it, and exit", LOCK, [["manage.py", "demo"]]),
    "test": ("run the tests", DEV_LOCK, [[*TEST, "--ignore=tests/chaos"]]),
    "bench": (
        "measure what an alert and a delivery cost, and what others' backlogs cost it",
        DEV_LOCK,
        [
            ["-m", "bench.end_to_end", "--seconds", "2", "--rounds", "1"],
            *(["-m", f"bench.{name}"] for name in ("streams", "look", "fairness", "deliveries")),
        ],
    ),
    "chaos": ("harm a running system in every way, and count what arrives", DEV_LOCK, [["-m", "chaos"]]),
    "guarantees": (
        "run the tests that prove what we promise, on SQLite and TEST_DATABASE_URL, and write docs/guarantees.md",
        DEV_LOCK,
        [["-m", "tests.papers.guarantees"]],
    ),
    "mutants": (
        "break the code at random places, and see whether a test notices",
        DEV_LOCK,
        [["-m", "tests.mutants"]],
    ),
    "lint": (
        "check style, format, templates, the import rule, and that nothing is unused",
        DEV_LOCK,
        [
            ["-m", "ruff", "check", "--no-cache"],
            ["-m", "ruff", "format", "--check", "--no-cache"],
            ["-m", "djlint", "--lint", "--quiet", "templates"],
            [".venv/bin/lint-imports", "--no-cache"],
            ["-m", "tests.papers.unused"],
        ],
    ),
    "types": ("check types", DEV_LOCK, [["-m", "mypy"]]),
    "schema": ("write openapi.yml", LOCK, [["manage.py", "spectacular", "--file", "openapi.yml"]]),
    "sbom": (
        "write sbom.cdx.json: which packages are installed, with their hashes",
        DEV_LOCK,
        [[*SBOM, "--pyproject", "pyproject.toml", "-o", "sbom.cdx.json", LOCK.name]],
    ),
    "shell": ("open a Python shell with everything imported", LOCK, [["manage.py", "shell"]]),
    "lock": (
        "choose versions again and write both lock files",
        DEV_LOCK,
        [
            [*COMPILE, "pyproject.toml", "-o", LOCK.name],
            [*COMPILE, "--group", "dev", "-c", LOCK.name, "pyproject.toml", "-o", DEV_LOCK.name],
        ],
    ),
}


def main(name: str = "help", *arguments: str) -> int:
    """Run one command, and return its exit status."""
    if name not in COMMANDS:
        return usage(name)
    _, lock, lines = COMMANDS[name]
    install(lock)
    if name in ("run", "demo"):
        become(name, [*lines[0], *arguments])
    statuses = [call(line) for line in lines[:-1]] + [call([*lines[-1], *arguments])]
    if name == "lock" and not any(statuses):
        return check_locks()
    return max(statuses)


def usage(name: str) -> int:
    """Print the commands. Return the exit status for an unknown command."""
    print("make COMMAND [ARGS='...']   or   python3 dev.py COMMAND [...]\n")
    for command, (meaning, _, _) in COMMANDS.items():
        print(f"  {command:11}{meaning}")
    return 0 if name in ("help", "-h", "--help") else f"\nThere is no {name!r}."


def call(arguments: list[str]) -> int:
    """Run the environment's Python, and return its exit status."""
    return subprocess.call([PYTHON, *arguments], cwd=TOP, env=environment())


def become(name: str, arguments: list[str]) -> None:
    """Replace this process by the environment's Python, so that signals reach it directly."""
    current = environment()
    if name == "demo":
        from eventsinks.management import throwaway

        current = throwaway.make_environment(current)
    if "MAKELEVEL" in current and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM: stop when make is killed
    os.chdir(TOP)
    os.execve(PYTHON, [str(PYTHON), *arguments], current)


def environment() -> dict[str, str]:
    """Return the environment for a command."""
    current = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # uv reads no configuration of pip, and must not fetch its own Python.
    return {**current, "VIRTUAL_ENV": str(VENV), "UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}


def install(lock: pathlib.Path) -> None:
    """Install `lock` into .venv, unless that is done already."""
    stamp = VENV / f"{lock.name}.installed"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    if is_done(stamp, digest):
        return
    with alone():
        if is_done(stamp, digest):
            return  # another process has just done it
        if not PYTHON.exists():
            make_venv()
        print(f"Installing {lock.name} into .venv", file=sys.stderr, flush=True)
        if not (install_by_uv(lock) or install_by_pip(lock)):
            sys.exit(f"{lock.name} could not be installed; see above.")
        stamp.write_text(digest)


def is_done(stamp: pathlib.Path, digest: str) -> bool:
    """Whether the stamp names exactly this lock."""
    return PYTHON.exists() and stamp.exists() and stamp.read_text() == digest


@contextlib.contextmanager
def alone():
    """Let only one process at a time change .venv. (uv has its own lock there, `.lock`.)"""
    VENV.mkdir(exist_ok=True)
    with (VENV / "installing").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_venv() -> None:
    """Make .venv. Debian's Python can do this without python3-venv."""
    if subprocess.call([sys.executable, "-m", "venv", "--without-pip", VENV]):
        sys.exit("A virtual environment could not be made. On Debian and Ubuntu: apt install python3-venv")


def install_by_uv(lock: pathlib.Path) -> bool:
    """Install with uv from PATH or from its wheel. Return False if there is no uv, or if it fails."""
    uv = shutil.which("uv", path=f"{VENV / 'bin'}:{os.environ['PATH']}") or uv_from_wheel()
    if uv is None:
        return False
    command = [uv, "pip", "install", "--quiet", "--python", PYTHON, "--require-hashes", "-r", lock]
    return subprocess.call(command, cwd=TOP, env=environment()) == 0


def uv_from_wheel() -> str | None:
    """Return uv's program from its wheel, in the version of the developers' lock."""
    place = VENV / "uv"
    program = place / "bin" / "uv"
    if program.exists():
        return str(program)
    block = DEV_LOCK.read_text().partition("\nuv==")[2].partition("\n    #")[0]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
        only_uv.write(f"uv=={block}\n")
        only_uv.flush()
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(place)]
        done = by_pip([*options, "--require-hashes", "-r", only_uv.name])
    return str(program) if done and program.exists() else None


def install_by_pip(lock: pathlib.Path) -> bool:
    """Install with plain pip."""
    return by_pip(["--quiet", "--require-hashes", "-r", str(lock)], into_venv=True)


def by_pip(options: list[str], into_venv: bool = False) -> bool:
    """Call `pip install` with .venv's pip, or else this Python's. Return whether it succeeded."""
    if has_pip(PYTHON) or (not has_pip(sys.executable) and add_pip()):
        command = [PYTHON, "-m", "pip"]
    elif has_pip(sys.executable):
        command = [sys.executable, "-m", "pip", *(["--python", str(PYTHON)] if into_venv else [])]
    else:
        sys.exit(NO_INSTALLER)
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    return subprocess.call([*command, "install", *options], cwd=TOP, env=quiet) == 0


def has_pip(python: str | pathlib.Path) -> bool:
    """Whether this Python has pip."""
    return subprocess.call([python, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0


def add_pip() -> bool:
    """Put pip into .venv if this Python includes it. Return whether it succeeded."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.call([PYTHON, "-m", "ensurepip"], **quiet) == 0


def check_locks() -> int:
    """Return an error if a lock file names a registry."""
    named = [lock.name for lock in (LOCK, DEV_LOCK) if "://" in lock.read_text()]
    return f"An address got into {', '.join(named)}." if named else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
