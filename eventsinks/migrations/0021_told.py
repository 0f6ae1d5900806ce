"""What was told of incidents, round-ups that wait, and doubts about a sink. Deliveries that are there tell of no incident that is known.

On PostgreSQL the index is built while others read and write; each step may be run again after one that was cut off.
"""

import importlib

from django.db import migrations, models
from django.db.models import Q

ordering = importlib.import_module("eventsinks.migrations.0020_ordering")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("eventsinks", "0020_ordering"),
    ]

    operations = [
        ordering.AddFieldAgain("delivery", "incident", models.UUIDField(null=True)),
        ordering.AddFieldAgain(
            "delivery",
            "phase",
            models.PositiveSmallIntegerField(
                choices=[(1, "Firing"), (2, "Acknowledged"), (3, "Resolved")], null=True
            ),
        ),
        ordering.AddFieldAgain("destination", "doubts", models.PositiveSmallIntegerField(db_default=0, editable=False)),
        ordering.AddFieldAgain("destination", "doubted_since", models.DateTimeField(null=True, editable=False)),
        ordering.AddFieldAgain("quietwindow", "tell_after", models.DateTimeField(null=True)),
        ordering.AddIndexWithoutLock(
            "delivery",
            models.Index(
                fields=["incident", "destination", "phase", "event"],
                condition=Q(incident__isnull=False),
                name="delivery_of_incident",
            ),
        ),
    ]
