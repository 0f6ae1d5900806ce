"""The admin calls the state `parked` Disabled. The database stays as it is."""

from django.db import migrations, models

STATES = [("active", "Active"), ("paused", "Paused"), ("parked", "Disabled"), ("resuming", "Resuming")]


class Migration(migrations.Migration):
    dependencies = [("eventsinks", "0031_routing")]
    operations = [
        migrations.AlterField(
            model_name="destination",
            name="state",
            field=models.CharField(choices=STATES, default="active", max_length=16),
        ),
    ]
