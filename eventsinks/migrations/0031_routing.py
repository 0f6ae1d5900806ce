"""The table of routing numbers. Its triggers come after the migrations, with every `migrate` (models/routing.py)."""

from django.db import migrations, models


def drop_triggers(apps, schema_editor):
    """Drop the triggers, before the table that they write is dropped."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for table in ("destination", "silence"):
        for event in ("insert", "delete", "update"):
            on = f" ON eventsinks_{table}" if is_postgresql else ""
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_{event}_raises_routing{on}")
    if is_postgresql:
        schema_editor.execute("DROP FUNCTION IF EXISTS eventsinks_raise_routing()")


class Migration(migrations.Migration):
    dependencies = [("eventsinks", "0030_rate_key")]
    operations = [
        migrations.CreateModel(
            name="Routing",
            fields=[
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("version", models.BigIntegerField()),
            ],
        ),
        migrations.RunPython(migrations.RunPython.noop, drop_triggers),
    ]
