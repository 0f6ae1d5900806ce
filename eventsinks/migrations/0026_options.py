"""Options of event sinks that SQL does not read need no column of their own."""

import importlib

from django.db import migrations, models

ordering = importlib.import_module("eventsinks.migrations.0020_ordering")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("eventsinks", "0021_told"),
    ]

    operations = [
        ordering.AddFieldAgain("destination", "options", models.JSONField(blank=True, db_default={}, default=dict)),
    ]
