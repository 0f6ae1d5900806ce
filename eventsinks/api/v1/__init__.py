"""The wire format of /v1, a file per resource: `/v1/silence` is in `silence.py`; `view.py` is what they share."""
