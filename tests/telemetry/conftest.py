"""The fixtures of the tests of telemetry."""

from tests.helpers.streams import far, integrate, log, outlet, silent_audit

__all__ = ["far", "integrate", "log", "outlet", "silent_audit"]
