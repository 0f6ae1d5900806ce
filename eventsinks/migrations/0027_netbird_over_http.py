"""NetBird's shapes have names of their own: as accepted is as accepted everywhere.

What is streamed already keeps the shape that it has. A worker of the version before knows no `netbird_http`: until it
is replaced it sets such events aside, and they are sent afterwards.
"""

from django.db import migrations
from django.db.models import F

NAMED = (("generic_http", {}, "netbird_http"), ("s3", {"config__layout": "object_per_event"}, "netbird"))


def name_the_shapes(apps, schema_editor):
    """Say what was meant by as accepted, of each type that did not mean it."""
    destinations = apps.get_model("eventsinks", "Destination").objects
    for type, more, mapping in NAMED:
        meant = destinations.filter(type=type, mapping="as_accepted", **more)
        meant.update(mapping=mapping, version=F("version") + 1)


def forget_the_names(apps, schema_editor):
    """Call NetBird's shapes as accepted again."""
    destinations = apps.get_model("eventsinks", "Destination").objects
    for type, more, mapping in NAMED:
        named = destinations.filter(type=type, mapping=mapping, **more)
        named.update(mapping="as_accepted", version=F("version") + 1)


class Migration(migrations.Migration):

    dependencies = [
        ("eventsinks", "0026_options"),
    ]

    operations = [
        migrations.RunPython(name_the_shapes, forget_the_names),
    ]
