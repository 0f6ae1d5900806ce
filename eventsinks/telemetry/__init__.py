"""Telemetry: the metrics, and what goes to the log.

`counts` is what each process counts by itself. `facts` is what the database knows: one process finds it out once a
minute, for all. `family` adds up the counts of the processes of one web server. `lines` writes the log.
"""

from eventsinks.telemetry.counts import (
    OVER_BUDGET,
    REFUSED,
    WRONG_KEYS,
    count_over_budget,
    count_removed,
    count_tries,
    serve,
    write_exposition,
)
from eventsinks.telemetry.facts import (
    StreamLag,
    set_account,
    set_destinations,
    set_in_line,
    set_log_held,
    set_oldest,
    set_streams,
    set_waiting,
    write_facts,
)
from eventsinks.telemetry.lines import set_up_logging, write_line, write_lines

__all__ = [
    "OVER_BUDGET",
    "REFUSED",
    "WRONG_KEYS",
    "StreamLag",
    "count_over_budget",
    "count_removed",
    "count_tries",
    "serve",
    "set_account",
    "set_destinations",
    "set_in_line",
    "set_log_held",
    "set_oldest",
    "set_streams",
    "set_up_logging",
    "set_waiting",
    "write_exposition",
    "write_facts",
    "write_line",
    "write_lines",
]
