"""What the OpenAPI schema has beyond the views. An import registers all of it."""

from eventsinks.api.schema import security, shapes

__all__ = ["security", "shapes"]
