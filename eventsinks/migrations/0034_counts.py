"""Counts, and what the audit remembers. The triggers come after the migrations, with every `migrate`."""

import uuid

import django.db.models.functions.datetime
from django.db import migrations, models

COUNTED = [
    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
    ("tenant_id", models.UUIDField()),
    ("destination_id", models.BigIntegerField()),
    ("what", models.CharField(max_length=24)),
    ("slot", models.BigIntegerField()),
    ("n", models.BigIntegerField()),
]
KINDS = [
    ("delivery", "Deliveries"),
    ("event", "Events"),
]


def drop_triggers(apps, schema_editor):
    """Drop the triggers, before the table that they write is dropped."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    on = " ON eventsinks_delivery" if is_postgresql else ""
    schema_editor.execute(f"DROP TRIGGER IF EXISTS delivery_move_counts{on}")
    if is_postgresql:
        schema_editor.execute("DROP FUNCTION IF EXISTS eventsinks_count_move()")


def clean_often(apps, schema_editor):
    """Let PostgreSQL clean the table of deltas often: every second its rows are moved into the counts."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE eventsinks_countdelta SET (autovacuum_vacuum_scale_factor = 0, "
            "autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)"
        )


class Migration(migrations.Migration):
    dependencies = [("eventsinks", "0033_search")]
    operations = [
        migrations.CreateModel(
            name="AuditMark",
            fields=[
                ("name", models.CharField(max_length=24, primary_key=True, serialize=False)),
                ("place", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(name="CountDelta", fields=COUNTED),
        migrations.CreateModel(
            name="Count",
            fields=COUNTED,
            options={
                "indexes": [
                    models.Index(fields=["what", "slot"], name="count_of_slot"),
                    models.Index(fields=["id"], condition=models.Q(n=0), name="count_of_nothing"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("destination_id", "slot", "what", "tenant_id"), name="count_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Finding",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("found_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("kind", models.CharField(choices=KINDS, max_length=16)),
                ("tenant_id", models.UUIDField(null=True)),
                ("destination_id", models.BigIntegerField(null=True)),
                ("slot", models.BigIntegerField()),
                ("missing", models.PositiveIntegerField()),
                ("detail", models.TextField()),
                ("dismissed_at", models.DateTimeField(null=True)),
            ],
            options={"ordering": ["-found_at"]},
        ),
        migrations.RunPython(clean_often, migrations.RunPython.noop),
        migrations.RunPython(migrations.RunPython.noop, drop_triggers),
    ]
