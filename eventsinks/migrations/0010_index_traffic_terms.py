"""Give the flows that are there their terms, and index them, while others read and write: PostgreSQL only.

Every step may be run again after one that was cut off.
"""

from django.db import migrations

CHUNK = 50_000  # flows of a transaction
FILL = r"""
    WITH flow AS (
        SELECT event_id, tenant_id, search FROM eventsinks_networktraffic
        WHERE event_id > %s AND event_id <= %s AND terms IS NULL
    ), had AS (
        SELECT DISTINCT event_id, tenant_id, text,
               ('x' || substr(md5(tenant_id::text || text), 1, 16))::bit(64)::bigint AS number
        FROM flow, regexp_split_to_table(
            regexp_replace(search, '(\]|\.[0-9]{1,3})(:[0-9]{1,5})(?=\n|$)', E'\\1\n\\2', 'g'), '\n') AS text
        WHERE text <> ''
    ), written AS (
        INSERT INTO eventsinks_trafficterm (number, tenant_id, text)
        SELECT DISTINCT number, tenant_id, text FROM had ORDER BY number
        ON CONFLICT DO NOTHING
    )
    UPDATE eventsinks_networktraffic AS flow SET terms = own.terms
    FROM (SELECT flow.event_id, coalesce(array_agg(number) FILTER (WHERE number IS NOT NULL), '{}') AS terms
          FROM flow LEFT JOIN had USING (event_id) GROUP BY flow.event_id) AS own
    WHERE flow.event_id = own.event_id"""
INDEX = (
    "ALTER TABLE eventsinks_networktraffic ALTER COLUMN terms SET STATISTICS 500",
    "DROP INDEX IF EXISTS traffic_by_term",
    "CREATE INDEX CONCURRENTLY traffic_by_term ON eventsinks_networktraffic USING gin (terms)",
)


def fill_and_index(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(min(event_id), 0), coalesce(max(event_id), 0) FROM eventsinks_networktraffic")
        first, last = cursor.fetchone()
        for before in range(first - 1, last, CHUNK):
            cursor.execute(FILL, [before, before + CHUNK])
        for statement in INDEX:
            cursor.execute(statement)


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS traffic_by_term")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("eventsinks", "0009_traffic_terms"),
    ]

    operations = [migrations.RunPython(fill_and_index, drop_index)]
