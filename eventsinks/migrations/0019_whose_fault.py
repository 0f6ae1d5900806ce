"""Streams tell an event that is refused from a destination that refuses everything."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('eventsinks', '0016_bound_secrets'),
    ]

    operations = [
        migrations.AddField(
            model_name='position',
            name='refused_in_a_row',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='position',
            name='stands_since',
            field=models.DateTimeField(null=True),
        ),
    ]
