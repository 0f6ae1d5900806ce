"""What flows are searched by: their terms (docs/decisions/0010)."""

import django.db.models.deletion
from django.db import migrations, models

import eventsinks.models.traffic.traffic_term


def on_postgresql(statement):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(statement)

    return run


class Migration(migrations.Migration):
    dependencies = [
        ("eventsinks", "0008_signing_rotation"),
    ]

    operations = [
        migrations.RunPython(
            on_postgresql("CREATE DOMAIN traffic_terms AS bigint[]"), on_postgresql("DROP DOMAIN traffic_terms")
        ),
        migrations.CreateModel(
            name="TrafficTerm",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("text", models.TextField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="eventsinks.tenant",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="networktraffic",
            name="terms",
            field=eventsinks.models.traffic.traffic_term.Terms(null=True),
        ),
    ]
