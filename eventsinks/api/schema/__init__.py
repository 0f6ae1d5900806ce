"""What the generated OpenAPI schema must be told beyond the views. Importing it registers all of it."""

from eventsinks.api.schema import security, shapes

__all__ = ["security", "shapes"]
