"""What people look for an event by, as columns, and the search rows of alerts. No table is rewritten.

Events that are there keep empty columns: lists name them by their documents. The search begins with new alerts.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Max

import eventsinks.models.search.alert_words

FTS = "eventsinks_alertwords_fts"
ON_POSTGRESQL = (
    # The search reads what is not merged yet row by row, so it is not much.
    """CREATE INDEX alert_words_by_word ON eventsinks_alertwords USING gin (words)
    WITH (gin_pending_list_limit = 1024)""",
)
# The tokenizer leaves each word whole: the words are split before (models/search/alert_words.py).
ON_SQLITE = (
    f"""CREATE VIRTUAL TABLE {FTS} USING fts5(words, content='eventsinks_alertwords', content_rowid='event_id',
    detail=none, columnsize=0, tokenize="ascii tokenchars '='")""",
    f"""CREATE TRIGGER alertwords_insert_is_found AFTER INSERT ON eventsinks_alertwords BEGIN
    INSERT INTO {FTS} (rowid, words) VALUES (new.event_id, new.words); END""",
    f"""CREATE TRIGGER alertwords_delete_is_not_found AFTER DELETE ON eventsinks_alertwords BEGIN
    INSERT INTO {FTS} ({FTS}, rowid, words) VALUES ('delete', old.event_id, old.words); END""",
)


class AddColumn(migrations.AddField):
    """Add a column. On SQLite too this only notes its default: Django would copy the table."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.model_name)
        BaseDatabaseSchemaEditor.add_field(schema_editor, model, model._meta.get_field(self.name))


def make_index(apps, schema_editor):
    for statement in ON_POSTGRESQL if schema_editor.connection.vendor == "postgresql" else ON_SQLITE:
        schema_editor.execute(statement)


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        schema_editor.execute("DROP TRIGGER IF EXISTS alertwords_insert_is_found")
        schema_editor.execute("DROP TRIGGER IF EXISTS alertwords_delete_is_not_found")
        schema_editor.execute(f"DROP TABLE IF EXISTS {FTS}")


def begin_here(apps, schema_editor):
    """Begin with the events that come after this: those before have no columns to index."""
    last = apps.get_model("eventsinks", "Event").objects.aggregate(last=Max("id"))["last"] or 0
    if last:
        apps.get_model("eventsinks", "SearchProgress").objects.create(id=1, indexed=last, settled=last, seen=last)


class Migration(migrations.Migration):
    dependencies = [("eventsinks", "0032_disabled")]
    operations = [
        AddColumn("event", "title", models.CharField(db_default="", max_length=200)),
        AddColumn("event", "severity", models.SmallIntegerField(null=True)),
        AddColumn("event", "rule", models.CharField(db_default="", max_length=200)),
        AddColumn("event", "status", models.CharField(db_default="", max_length=12)),
        AddColumn("event", "dedup_key", models.CharField(db_default="", max_length=255)),
        AddColumn("event", "tags", models.TextField(db_default="")),
        migrations.CreateModel(
            name="AlertWords",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        serialize=False,
                        to="eventsinks.event",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="eventsinks.tenant",
                    ),
                ),
                ("noise", models.CharField(max_length=200)),
                ("words", eventsinks.models.search.alert_words.Words()),
            ],
            options={
                "verbose_name": "search row of an alert",
                "verbose_name_plural": "search rows of alerts",
                "indexes": [models.Index(fields=["tenant", "event"], name="alert_words_of_tenant")],
            },
        ),
        migrations.CreateModel(
            name="SearchProgress",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("indexed", models.BigIntegerField(default=0)),
                ("settled", models.BigIntegerField(default=0)),
                ("seen", models.BigIntegerField(default=0)),
                ("seen_xid", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.RunPython(make_index, drop_index),
        migrations.RunPython(begin_here, migrations.RunPython.noop),
    ]
