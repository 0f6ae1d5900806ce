"""One clock: what the database dates is compared with its own, so Python's is read only where it is named here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CLOCKS = {
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "django.utils.timezone.now",
    "django.utils.timezone.localdate",
    "django.core.signing.TimestampSigner",
    "time.time",
    "time.time_ns",
    "time.ctime",
    "time.gmtime",
    "time.localtime",
    "time.strftime",
    "uuid.uuid1",
    "uuid_utils.uuid1",
    "uuid_utils.uuid6",
    "uuid_utils.uuid7",
    "uuid_utils.compat.uuid1",
    "uuid_utils.compat.uuid6",
    "uuid_utils.compat.uuid7",
}

# Where Python's clock is read, and why no time of the database is ever compared with what it says.
NAMED = {
    # What goes on the wire, and the evidence of when it went: webhook timestamps, the start of an attempt.
    "eventsinks/sending/dispatcher.py Dispatcher._claim",
    "eventsinks/streaming/streamer.py send_batch",
    "eventsinks/streaming/streamer.py send_again",
    "eventsinks/actions/trying/try_out.py try_out",
    "eventsinks/actions/trying/probe.py send_test_message",
    "eventsinks/actions/trying/preview.py preview_alert",
    "eventsinks/admin/integrations/health.py probe_now",
    # An HTTP date of a far end that does not say what time it is there.
    "eventsinks/destinations/base/answers.py read_pause",
    "eventsinks/destinations/discord.py read_pause",
    # What an event says of itself whose sender did not say when it happened.
    "eventsinks/event_types/documents.py read_moment",
    # The time of a log line.
    "eventsinks/telemetry/lines.py write_lines",
    # Ids of which only the order is used, to page by: of attempts, replays, and messages that are kept nowhere.
    "eventsinks/sending/judge.py make_settlement",
    "eventsinks/actions/trying/probe.py make_test_message",
    "eventsinks/actions/trying/try_out.py make_message",
    "eventsinks/models/replay.py Replay",
    # Since when something is refused, as a person is told.
    "eventsinks/limits/refusals.py note_refusal",
    "eventsinks/limits/refusals.py share_counts.add",
    # What axes and allauth have dated themselves, by the same clock.
    "eventsinks/admin/people/attempts.py AttemptAdmin.status",
    "eventsinks/admin/people/lockout.py answer_locked",
    "eventsinks/admin/people/second_factor.py use_up",
}


class Readings(ast.NodeVisitor):
    """Where a module reads Python's clock: the names of the functions and classes that do."""

    def __init__(self):
        self.names, self.within, self.found = {}, [], set()

    def visit_Import(self, node):
        for name in node.names:
            self.names[name.asname or name.name.partition(".")[0]] = (
                name.name if name.asname else name.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node):
        for name in node.names:
            self.names[name.asname or name.name] = f"{node.module}.{name.name}"

    def visit_ClassDef(self, node):
        self.within.append(node.name)
        self.generic_visit(node)
        self.within.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef  # noqa: N815

    def visit_Name(self, node):
        self.look(node)

    def visit_Attribute(self, node):
        self.look(node)
        self.generic_visit(node)

    def visit_Call(self, node):
        if self.dotted(node.func) == "django.utils.timezone.localtime" and not node.args:
            self.note()
        self.generic_visit(node)

    def visit_keyword(self, node):
        if node.arg in ("auto_now", "auto_now_add"):
            self.note()
        self.generic_visit(node)

    def look(self, node):
        if self.dotted(node) in CLOCKS:
            self.note()

    def note(self):
        self.found.add(".".join(self.within) or "(module)")

    def dotted(self, node):
        if isinstance(node, ast.Attribute):
            return f"{self.dotted(node.value)}.{node.attr}"
        return self.names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def readings_of(source):
    readings = Readings()
    readings.visit(ast.parse(source))
    return readings.found


@pytest.mark.guarantee("R32")
def test_pythons_clock_is_read_only_where_it_is_named():
    files = [path for top in ("eventsinks", "project") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 150
    found = {
        f"{path.relative_to(ROOT)} {where}"
        for path in files
        if "migrations" not in path.parts
        for where in readings_of(path.read_text())
    }
    assert sorted(found - NAMED) == []  # use Now(), sql.now() or models.clock instead, or name it with its reason
    assert sorted(NAMED - found) == []  # it is gone: take it off the list


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\ndef f(): return datetime.now()",
        "import datetime as d\ndef f(): return d.datetime.now(d.UTC)",
        "from django.utils import timezone as tz\ndef f(): return tz.now()",
        "from django.utils.timezone import now\ndef f(): return now()",
        "from time import time as clock\ndef f(): return clock()",
        "import time\ndef f(read=time.time): return read()",
        "from django.utils import timezone\ndef f(field): return field(default=timezone.now)",
        "from django.utils import timezone\ndef f(): return timezone.localtime()",
        "def f(field): return field(auto_now_add=True)",
        "from uuid_utils.compat import uuid7\ndef f(): return uuid7()",
    ],
)
def test_a_reading_is_seen_in_every_spelling(source):
    assert readings_of(source) == {"f"}


def test_what_reads_no_clock_is_not_taken_for_one():
    source = """
import time
from datetime import datetime
from django.utils import timezone
def f(moment): return time.monotonic(), datetime.fromtimestamp(0), timezone.localtime(moment), moment.now()
"""
    assert readings_of(source) == set()
