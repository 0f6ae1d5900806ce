"""The pages of event sinks."""
