"""Backlogs that are being suppressed, on the pages of the admin."""

from eventsinks.actions import clear, configure


def test_what_is_being_suppressed_is_shown_with_how_far_it_is(operator, make_webhook, make_alert, monkeypatch):
    monkeypatch.setattr(clear, "AT_ONCE", 2)
    kept, gone = make_webhook(name="Kept hook"), make_webhook(name="Gone hook")
    for _ in range(5):
        make_alert()
    operator.post(f"/admin/eventsinks/eventsink/{kept.pk}/resume/", {"backlog": "skip"})
    configure.delete(gone)
    for clearing in (*kept.clearings.all(), *gone.clearings.all()):
        clear.clear_step(clearing.id)
    page = operator.get(f"/admin/eventsinks/eventsink/{kept.pk}/change/").content.decode()
    assert "Resuming" in page
    assert "as soon as what it skips is suppressed: 2 by now" in page
    first = operator.get("/admin/").content.decode()
    assert "Backlogs that are being suppressed" in first
    assert "Gone hook (deleted)" in first
    clear.work_off_clearings()
    assert "Backlogs that are being suppressed" not in operator.get("/admin/").content.decode()
    assert "Resuming" not in operator.get(f"/admin/eventsinks/eventsink/{kept.pk}/change/").content.decode()
