"""The canary. What is sealed already stays as it is: processes of the version before may still open it."""

import uuid

from django.conf import settings
import django.db.models.functions.datetime
from django.db import migrations, models

from eventsinks.lib.secrets.crypto import SecretBox

SEALED = (
    ("Destination", ("sealed_secrets", "sealed_signing_secret", "sealed_old_signing_secret")),
    ("SlackWorkspace", ("sealed_token", "sealed_refresh_token")),
)


def make_canary(apps, schema_editor):
    """Make it with the newest key; where nothing is sealed yet, all that will be is bound to its row."""
    there = any(
        apps.get_model("eventsinks", name).objects.exclude(**{column: ""}).exists()
        for name, columns in SEALED
        for column in columns
    )
    id = uuid.uuid4()
    sealed = SecretBox(settings.EVENTSINKS_ENCRYPTION_KEYS).seal(
        "the right key", f"eventsinks_canary.sealed|{id}|"
    )
    binding = "unbound" if there else "bound"
    apps.get_model("eventsinks", "Canary").objects.create(id=1, uuid=id, sealed=sealed, binding=binding)


class Migration(migrations.Migration):

    dependencies = [
        ('eventsinks', '0014_bounded_batches'),
    ]

    operations = [
        migrations.CreateModel(
            name='Canary',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('uuid', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('sealed', models.TextField(editable=False)),
                ('binding', models.CharField(choices=[('unbound', 'Unbound'), ('binding', 'Binding'), ('bound', 'Bound')], default='bound', max_length=16)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                'verbose_name': 'canary',
                'verbose_name_plural': 'canaries',
            },
        ),
        migrations.RunPython(make_canary, migrations.RunPython.noop),
    ]
