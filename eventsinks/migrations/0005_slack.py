"""Slack: what an installation by OAuth leaves, and the installations that were begun."""

import uuid
from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("eventsinks", "0004_sink_options")]

    operations: ClassVar = [
        migrations.AddField(
            "slackworkspace", "expires_at", models.DateTimeField(blank=True, editable=False, null=True)
        ),
        migrations.AddField(
            "slackworkspace",
            "refresh_leased_until",
            models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField("slackworkspace", "scopes", models.TextField(blank=True, default="", editable=False)),
        migrations.AddField(
            "slackworkspace", "sealed_refresh_token", models.TextField(blank=True, default="", editable=False)
        ),
        migrations.CreateModel(
            name="SlackInstall",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("initiator_id", models.CharField(max_length=64)),
                ("initiator_name", models.CharField(blank=True, max_length=200)),
                ("expires_at", models.DateTimeField(db_index=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="eventsinks.tenant"
                    ),
                ),
            ],
            options={"verbose_name": "begun Slack installation"},
        ),
    ]
