"""Code that nothing uses is named, and what others read is not."""

import pytest

from tests.papers.unused import unused


@pytest.mark.parametrize(
    "dead",
    [
        "def look_away(): pass",
        "class Nobody: pass",
        "NEVER = 1",
        "import os",
        "def f():\n    return f\n    f()\nf()",
    ],
)
def test_what_nothing_uses_is_named(tmp_path, dead):
    (tmp_path / "dead.py").write_text(dead)
    (report,) = unused([str(tmp_path)])
    assert "dead.py" in report


@pytest.mark.parametrize(
    "text",
    [
        "def look(): pass\nlook()",
        "class Document:\n    name: str\nDocument()",
        "@receiver(saved)\ndef note(): pass",
        "ONE = 1\nprint(ONE)",
    ],
)
def test_what_is_used_or_read_by_others_is_not_named(tmp_path, text):
    (tmp_path / "alive.py").write_text(text)
    assert unused([str(tmp_path)]) == []


def test_a_type_of_destination_is_found_by_being_there(tmp_path):
    for folder, found in (("destinations", 0), ("actions", 1)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.py").write_text("class Telegram: pass")
        assert len(unused([str(tmp_path / folder)])) == found
