"""The product's settings, with traps at the named points, and with a clock that may be wrong.

CHAOS_CLOCK is the number of seconds by which the clock of this process is off.
"""

import os
from datetime import UTC, datetime, timedelta

import time_machine

if off := float(os.environ.get("CHAOS_CLOCK") or 0):
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=off), tick=True).start()

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "chaos.traps.Traps"]
