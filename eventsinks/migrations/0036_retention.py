"""How long rows are kept, and what was taken away. No table is read whole but for one small index.

On PostgreSQL the index is built while others read and write; each step may be run again after one that was cut off.
"""

import importlib
import uuid

from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now

ordering = importlib.import_module("eventsinks.migrations.0020_ordering")


class CreateModelAgain(migrations.CreateModel):
    """Create a table, unless it is there from a run that was cut off."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        if table not in schema_editor.connection.introspection.table_names():
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("eventsinks", "0035_health")]

    operations = [
        ordering.AddFieldAgain(
            "tenant", "own_retention", models.JSONField(blank=True, db_default={}, default=dict, editable=False)
        ),
        ordering.AddFieldAgain("tenant", "deleted_at", models.DateTimeField(editable=False, null=True)),
        ordering.AddFieldAgain("event", "expunged_at", models.DateTimeField(null=True)),
        CreateModelAgain(
            name="RetentionWalk",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=32)),
                ("destination_id", models.BigIntegerField(default=0)),
                ("first_event", models.BigIntegerField(default=0)),
                ("event", models.BigIntegerField(default=0)),
                ("kept_event", models.BigIntegerField(null=True)),
                ("delivery", models.UUIDField(default=uuid.UUID(int=0))),
                ("batch", models.BigIntegerField(default=0)),
                ("due_at", models.DateTimeField(db_default=Now())),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=models.deletion.DO_NOTHING,
                        to="eventsinks.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "walk of the retention",
                "verbose_name_plural": "walks of the retention",
                "indexes": [models.Index(fields=["due_at"], name="retention_walk_due")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "name", "destination_id"), name="retention_walk_once"
                    )
                ],
            },
        ),
        ordering.AddIndexWithoutLock(
            "event", models.Index(fields=["id"], condition=Q(expunged_at__isnull=False), name="event_expunged")
        ),
    ]
