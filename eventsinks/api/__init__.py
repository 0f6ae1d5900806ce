"""Who asks over HTTP: one file per wire format. Envelopes only: what is asked is done by the actions."""
