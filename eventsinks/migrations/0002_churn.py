"""Tell PostgreSQL that deliveries churn, so that it vacuums early."""

from typing import Any, ClassVar

from django.db import migrations


def set_storage(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE eventsinks_delivery SET (autovacuum_vacuum_scale_factor = 0.02, "
            "autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05, "
            "autovacuum_vacuum_cost_delay = 0)"
        )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("eventsinks", "0001_initial")]
    operations: ClassVar = [migrations.RunPython(set_storage, migrations.RunPython.noop)]
