"""The dispatcher of event sinks."""
