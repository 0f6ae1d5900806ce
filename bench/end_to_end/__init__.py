"""End to end: what an event costs from its POST until it is received and on record, beside Alertmanager."""
