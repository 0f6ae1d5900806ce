"""The HTTP APIs: one package per wire format. They read requests and write answers; the actions do the work."""
