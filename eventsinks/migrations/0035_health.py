"""How destinations are: what their last tries say of them, and the state of the breaker of each."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('eventsinks', '0034_counts'),
    ]

    operations = [
        migrations.AddField(
            model_name='destination',
            name='breaker',
            field=models.CharField(choices=[('closed', 'Closed'), ('open', 'Open'), ('half_open', 'Half-open'), ('ramp', 'Ramp')], db_default='closed', default='closed', editable=False, max_length=9),
        ),
        migrations.AddField(
            model_name='destination',
            name='breaker_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='destination',
            name='failed_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='destination',
            name='failed_in_a_row',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='faulted',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='probes',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='refused',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='taken',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='times_opened',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='told',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='told_operator',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='trouble',
            field=models.PositiveSmallIntegerField(choices=[(0, 'None'), (1, 'Failing'), (2, 'Breaker open'), (3, 'Disabled')], db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='trouble_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='destination',
            name='trouble_reason',
            field=models.TextField(blank=True, db_default='', default='', editable=False),
        ),
        migrations.AddField(
            model_name='destination',
            name='trouble_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='destination',
            name='window_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name='destination',
            index=models.Index(condition=models.Q(('trouble__gt', 0), ('told__gt', 0), ('told_operator__gt', 0), _connector='OR'), fields=['trouble'], name='destination_in_trouble'),
        ),
    ]
