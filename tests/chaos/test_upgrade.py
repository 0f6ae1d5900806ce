"""An upgrade under load: the release before this one works on the new tables, and is replaced process by process.

The release is taken from git: the newest tag before this commit, or else the commit that gave pyproject.toml the
newest released version of CHANGELOG.md.
"""

import io
import json
import re
import subprocess
import tarfile
import time
from collections import Counter

import pytest

from tests.helpers.broker import broker, free_port
from tests.helpers.receiver import Receiver
from tests.helpers.system import ROOT, System, ask, clients, own_database, until

pytestmark = pytest.mark.django_db(transaction=True)


def git(*arguments):
    """Return what git says of this tree, as bytes; nothing where it fails."""
    try:
        return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


def find_release():
    """Return the commit of the release before this one."""
    if not (ROOT / ".git").exists() or not git("rev-parse", "HEAD"):
        pytest.skip("there is no git history here: the release before this one is not to be had")
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.skip("this clone is shallow and lacks the release before this one: git fetch --unshallow --tags")
    if tag := git("describe", "--tags", "--abbrev=0", "HEAD~1"):
        return tag.decode().strip()
    _, version = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[:2]
    made = git("log", f'-Sversion = "{version}"', "--format=%H", "--", "pyproject.toml").decode().split()
    assert made, f"no commit gave pyproject.toml the version {version}"
    return made[-1]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Return the tree of the release before this one."""
    tree = tmp_path_factory.mktemp("release")
    with tarfile.open(fileobj=io.BytesIO(git("archive", find_release()))) as packed:
        packed.extractall(tree, filter="data")
    return tree


@pytest.fixture
def system(tmp_path):
    with own_database(tmp_path, "upgrade") as url, broker(tmp_path) as queue:
        made = System(tmp_path, url, queue.url, EVENTSINKS_ALLOWED_NETWORKS="127.0.0.0/8")
        yield made
        made.close()


def arrange(system, place, receiver, tree):
    """Make a tenant with two event sinks and an integration that hear its alerts; return its key."""
    tenant = system.manage("create_tenant", "Acme", tree=tree)
    key = system.manage("issue_key", tenant, tree=tree)
    for name in ("a", "b"):
        sink = {"name": name, "description": "", "event_sink_args": {"Webhook": {"url": receiver.url(f"/{name}")}}}
        assert ask(place, "POST", "/v1/event_sink", {"tenant_id": tenant, **sink}, key)[0] == 200
    config = {"url": receiver.url("/stream")}
    stream = {"platform": "generic_http", "enabled": True, "event_types": ["detection_alert"], "config": config}
    status, said = ask(place, "POST", "/api/event-streaming", {**stream, "mapping": "as_accepted"}, key)
    assert status == 200, said
    return key


def came(receiver, path):
    """Return how often each alert came to a path."""
    documents = [json.loads(got.body) for got in receiver.got if got.path == path]
    return Counter(document["id"] for document in documents if document.get("id", "").startswith("client-"))


def test_the_release_before_this_one_is_replaced_under_load_and_nothing_is_lost_or_doubled(release, system):
    places = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]
    system.manage("migrate", tree=release)
    webs = [system.serve(place, tree=release) for place in places]
    others = [system.work(tree=release), system.work(tree=release), system.beat(tree=release)]
    with Receiver() as receiver:
        key = arrange(system, places[0], receiver, release)
        with clients(places, key) as posting:

            def goes_on(what):
                """Wait until alerts that were taken from now on have arrived everywhere."""
                before = {id for client in posting for id in client.answered}
                found = until(
                    lambda: all(set(came(receiver, path)) - before for path in ("/a", "/b", "/stream")), 180
                )
                assert found, f"nothing arrived after {what}: {system.read_logs()}"

            goes_on("the start")
            system.manage("migrate")
            goes_on("the migration, with all processes of the old release")
            new = system.work()
            goes_on("the start of a new worker")
            for process in others[:2]:
                system.stop(process)
            goes_on("the end of the old workers")
            system.stop(others[2])
            system.beat()
            for place, web in zip(places, webs, strict=True):
                system.stop(web)
                system.serve(place)
            goes_on("the end of the old release")
            time.sleep(1)
        answered = {id for client in posting for id in client.answered}
        until(lambda: all(answered <= set(came(receiver, path)) for path in ("/a", "/b", "/stream")), 180)
        assert new.poll() is None
        assert len(answered) > 100
        assert not [one for client in posting for one in client.others]
        for path in ("/a", "/b", "/stream"):
            times = came(receiver, path)
            assert set(times) == answered, path
            assert set(times.values()) == {1}, path  # everybody was asked to end, nobody was killed
