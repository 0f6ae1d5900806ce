"""Reading the log: what is looked at does not grow with what lies behind."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from eventsinks.models.stream import LogPlace, find_due_positions, look_ahead

pytestmark = pytest.mark.django_db


def plan_of(run):
    """Return how SQLite goes about the last statement of `run`."""
    with CaptureQueriesContext(connection) as captured:
        run()
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + captured[-1]["sql"].replace("%", "%%"))
        return [row[3] for row in cursor.fetchall()]


# PostgreSQL chooses its plans by how much there is: there `python -m bench.streams` shows that it stays flat.
if connection.vendor == "sqlite":

    def test_a_look_ahead_begins_at_its_place_and_not_at_the_tenants_first_event(acme):
        (step,) = plan_of(lambda: look_ahead(acme.id, ["audit"], LogPlace(0, 7), 10))
        assert "(tenant_id=? AND xid=? AND id>?)" in step

    def test_whether_there_is_something_due_is_not_looked_for_from_the_tenants_first_event_on():
        assert any("event_log (tenant_id=? AND xid=? AND id>?)" in step for step in plan_of(find_due_positions))
