"""The wire format of /v1, one file per resource: `/v1/silence` is in `silence.py`. All share `view.py`."""
