"""What is sent in order: deliveries that are there have no key, and go on as they did. No table is read whole.

On PostgreSQL the indexes are built while others read and write; each step may be run again after one that was cut
off.
"""

from datetime import UTC, datetime

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

BEHIND = datetime(9999, 1, 1, tzinfo=UTC)
IN_LINE = Q(ordering_key__isnull=False, state__in=["pending", "sending"])
FIRST = models.UniqueConstraint(
    fields=["destination", "ordering_key"],
    condition=Q(ordering_key__isnull=False, state__in=["pending", "sending"], due_at__lt=BEHIND),
    name="delivery_first_in_line",
)


class AddIndexWithoutLock(AddIndexConcurrently):
    """Build an index while others write, and anew if a build of it was cut off. SQLite has one writer anyway."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        of = AddIndexConcurrently if schema_editor.connection.vendor == "postgresql" else migrations.AddIndex
        of.database_backwards(self, app_label, schema_editor, from_state, to_state)


class AddUniqueWithoutLock(migrations.AddConstraint):
    """Build a unique index of some rows while others write."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        statement = str(self.constraint.create_sql(model, schema_editor))
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.constraint.name}")
        schema_editor.execute(statement.replace("UNIQUE INDEX", "UNIQUE INDEX CONCURRENTLY", 1), params=None)


class AddFieldAgain(migrations.AddField):
    """Add a column, unless it is there from a run that was cut off."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        table = to_state.apps.get_model(app_label, self.model_name)._meta.db_table
        with schema_editor.connection.cursor() as cursor:
            columns = schema_editor.connection.introspection.get_table_description(cursor, table)
        if self.name not in {column.name for column in columns}:
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("eventsinks", "0019_whose_fault"),
    ]

    operations = [
        AddFieldAgain(
            "destination", "ordering", models.CharField(max_length=16, default="incident", db_default="incident")
        ),
        AddFieldAgain("destination", "ordering_key", models.TextField(blank=True, default="", db_default="")),
        AddFieldAgain(
            "destination", "ordering_policy", models.CharField(max_length=8, default="skip", db_default="skip")
        ),
        AddFieldAgain("delivery", "ordering_key", models.UUIDField(null=True)),
        AddUniqueWithoutLock("delivery", FIRST),
        AddIndexWithoutLock(
            "delivery",
            models.Index(
                fields=["destination", "ordering_key", "event"], condition=IN_LINE, name="delivery_in_line"
            ),
        ),
        AddIndexWithoutLock(
            "delivery",
            models.Index(
                fields=["destination", "ordering_key", "event"],
                condition=Q(ordering_key__isnull=False, state="failed"),
                name="delivery_failed_in_line",
            ),
        ),
        AddIndexWithoutLock(
            "delivery",
            models.Index(
                fields=["destination", "id"],
                condition=Q(ordering_key__isnull=False, state="pending", due_at__gte=BEHIND),
                name="delivery_behind",
            ),
        ),
    ]
