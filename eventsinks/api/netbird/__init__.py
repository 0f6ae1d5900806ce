"""NetBird's wire format, /api: integrations (event streaming) and the events of an account."""
