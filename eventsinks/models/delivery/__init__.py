"""Deliveries: one event owed to one sink, and the state machine of what becomes of it.

    pending --claim--> sending --settle--> delivered
       ^                 |  |
       |<--- settle -----+  +----settle--> failed --replay--> pending
       |                           |
       +--suppress--> suppressed <-+ skip           (delivered --replay--> pending, when a person asks;
                                                     sending --keep_untold--> suppressed --owe_ends--> pending)

Every move is one guarded UPDATE that names the state (and the lease) it leaves, and nothing outside this package
writes `state`. `due_at` is the only clock: the pause between tries, the lease of a worker, and the recovery of a
lost worker's rows are all "not before"; what stands behind another (see line.py) is due at no time. The database's
clock decides.
"""

from eventsinks.models.delivery.claim import Claimed, Lane, claim, due_lanes
from eventsinks.models.delivery.ends import ENDS, UNTOLD, Standing, ends_after, keep_untold, owe_ends, standings
from eventsinks.models.delivery.line import (
    Behind,
    before,
    behind,
    busy_lines,
    call_next,
    lines_from,
    lock_lines,
    put_in_order,
)
from eventsinks.models.delivery.look import Lookout
from eventsinks.models.delivery.lost import give_up_lost, sinks_with_lost, sinks_with_open
from eventsinks.models.delivery.open import count_ahead, count_open
from eventsinks.models.delivery.rate_limit import end_limited, end_turn, take_limited, take_turns
from eventsinks.models.delivery.row import (
    BEHIND,
    Delivery,
    DeliveryState,
    Line,
    Phase,
    id_at,
    new_id,
    open_deliveries,
)
from eventsinks.models.delivery.settle import Settlement, settle, settle_free, still_held

__all__ = [
    "BEHIND",
    "ENDS",
    "UNTOLD",
    "Behind",
    "Claimed",
    "Delivery",
    "DeliveryState",
    "Lane",
    "Line",
    "Lookout",
    "Phase",
    "Settlement",
    "Standing",
    "before",
    "behind",
    "busy_lines",
    "call_next",
    "claim",
    "count_ahead",
    "count_open",
    "due_lanes",
    "end_limited",
    "end_turn",
    "ends_after",
    "give_up_lost",
    "id_at",
    "keep_untold",
    "lines_from",
    "lock_lines",
    "new_id",
    "open_deliveries",
    "owe_ends",
    "put_in_order",
    "settle",
    "settle_free",
    "sinks_with_lost",
    "sinks_with_open",
    "standings",
    "still_held",
    "take_limited",
    "take_turns",
]
