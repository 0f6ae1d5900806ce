"""What the tests of the chores share."""

import pytest

from eventsinks.sweeping.auditing import walk


@pytest.fixture(autouse=True)
def the_audit_has_time(monkeypatch):
    """Let each audit come to the end of its round, also on a busy machine."""
    monkeypatch.setattr(walk, "SECONDS", 10.0)
