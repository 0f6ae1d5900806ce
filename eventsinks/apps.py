"""The Django app."""

from django.apps import AppConfig


class EventsinksConfig(AppConfig):
    """The one app: everything of the product is in it."""

    name = "eventsinks"
    verbose_name = "eventsinks"

    def ready(self) -> None:
        """Set up logging and the checks that run at start."""
        from django.db.models.signals import post_migrate

        from eventsinks import checks, telemetry
        from eventsinks.models.counting import triggers
        from eventsinks.models.routing import install_triggers

        telemetry.set_up_logging()
        checks.register_all()
        post_migrate.connect(install_triggers, sender=self)
        post_migrate.connect(triggers.install_triggers, sender=self)
