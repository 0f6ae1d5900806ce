"""The column `place` is called `rate_key` in the code. The database stays as it is, so that old workers go on."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("eventsinks", "0029_replays_of_both_faces")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(model_name="destination", name="destination_at_a_place"),
                migrations.AlterField(
                    model_name="destination",
                    name="place",
                    field=models.CharField(blank=True, db_column="place", db_default="", max_length=200),
                ),
                migrations.RenameField(model_name="destination", old_name="place", new_name="rate_key"),
                migrations.AddIndex(
                    model_name="destination",
                    index=models.Index(
                        condition=~Q(rate_key=""), fields=["rate_key"], name="destination_at_a_place"
                    ),
                ),
            ]
        )
    ]
