"""What a manifest tells of, the replay of a stretch of the log, and the rest of a batch that was halved."""

from typing import ClassVar

from django.db import migrations, models

# What was sent before is in no manifest: nobody noted what it was stored as.
BEGIN_NOW = "UPDATE eventsinks_position SET manifest_number = next_number - 1"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("eventsinks", "0006_incidents")]

    operations: ClassVar = [
        migrations.AddField("batch", "rest", models.JSONField(default=list)),
        migrations.AddField("batch", "stored", models.JSONField(null=True)),
        migrations.AddField("position", "replay_xid", models.BigIntegerField(null=True)),
        migrations.AddField("position", "replay_event_id", models.BigIntegerField(null=True)),
        migrations.AddField("position", "until_xid", models.BigIntegerField(null=True)),
        migrations.AddField("position", "until_event_id", models.BigIntegerField(null=True)),
        migrations.AddField("position", "manifest_number", models.BigIntegerField(default=0)),
        migrations.RunSQL(BEGIN_NOW, migrations.RunSQL.noop),
    ]
