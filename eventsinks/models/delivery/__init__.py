"""Delivery: one event owed to one sink, and the state machine of what becomes of it.

    pending --claim--> sending --settle--> delivered
       ^                 |  |
       |<--- settle -----+  +----settle--> failed --replay--> pending
       |                           |
       +--suppress--> suppressed <-+ skip           (delivered --replay--> pending, when a person asks;
                              sending --suppress_untold_ends--> suppressed --owe_ends--> pending)

Every move is one guarded UPDATE that names the state (and the lease) it leaves, and only this package writes
`state`. `due_at` is the only clock: the pause between tries, the lease of a worker and the recovery of a lost
worker's rows all mean "not before". A delivery behind another (see line.py) is never due. The database's clock
decides.
"""

from eventsinks.models.delivery.claim import ClaimedDelivery, Lane, claim, find_due_lanes
from eventsinks.models.delivery.ends import (
    ENDS,
    UNTOLD,
    IncidentAtSink,
    IncidentStanding,
    find_ends_after,
    find_standings,
    owe_ends,
    suppress_untold_ends,
)
from eventsinks.models.delivery.line import (
    LineLag,
    call_next,
    count_behind,
    find_before,
    find_busy_lines,
    lock_lines,
    put_in_order,
    read_lines_from,
)
from eventsinks.models.delivery.look import Lookout
from eventsinks.models.delivery.lost import find_sinks_with_lost, find_sinks_with_open, give_up_lost
from eventsinks.models.delivery.open import count_ahead, count_open
from eventsinks.models.delivery.rate_limit import (
    free_limited_sink,
    free_rate_key,
    lease_limited_sinks,
    lease_rate_keys,
)
from eventsinks.models.delivery.row import (
    BEHIND,
    EXPUNGED,
    Delivery,
    DeliveryLine,
    DeliveryState,
    Phase,
    find_open_deliveries,
    make_id,
    make_least_id,
)
from eventsinks.models.delivery.settle import Settlement, find_still_held, settle, settle_free
from eventsinks.models.delivery.write import NewDelivery, insert_deliveries

__all__ = [
    "BEHIND",
    "ENDS",
    "EXPUNGED",
    "UNTOLD",
    "ClaimedDelivery",
    "Delivery",
    "DeliveryLine",
    "DeliveryState",
    "IncidentAtSink",
    "IncidentStanding",
    "Lane",
    "LineLag",
    "Lookout",
    "NewDelivery",
    "Phase",
    "Settlement",
    "call_next",
    "claim",
    "count_ahead",
    "count_behind",
    "count_open",
    "find_before",
    "find_busy_lines",
    "find_due_lanes",
    "find_ends_after",
    "find_open_deliveries",
    "find_sinks_with_lost",
    "find_sinks_with_open",
    "find_standings",
    "find_still_held",
    "free_limited_sink",
    "free_rate_key",
    "give_up_lost",
    "insert_deliveries",
    "lease_limited_sinks",
    "lease_rate_keys",
    "lock_lines",
    "make_id",
    "make_least_id",
    "owe_ends",
    "put_in_order",
    "read_lines_from",
    "settle",
    "settle_free",
    "suppress_untold_ends",
]
