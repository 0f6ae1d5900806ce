"""The engine of filters, `cel`, without its command line.

`import cel` would load that too, with a terminal's tools: a fifth of the time that each process takes to start.
"""

from __future__ import annotations

import sys
from types import ModuleType

sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))

import cel as cel  # noqa: E402
