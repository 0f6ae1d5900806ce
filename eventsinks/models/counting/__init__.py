"""Counting: how much was accepted and what became of it, counted in the transactions in which it happens."""

from eventsinks.models.counting.add import GIVEN, Tally, add, insert_sql, list_columns, tally_new
from eventsinks.models.counting.forget import NOBODY, forget
from eventsinks.models.counting.slots import GRAIN, STRETCH, find_slot, find_stretch, first_id_of, slot_sql
from eventsinks.models.counting.tables import ENDED, AuditMark, Count, CountDelta, Finding, What

__all__ = [
    "ENDED",
    "GIVEN",
    "GRAIN",
    "NOBODY",
    "STRETCH",
    "AuditMark",
    "Count",
    "CountDelta",
    "Finding",
    "Tally",
    "What",
    "add",
    "find_slot",
    "find_stretch",
    "first_id_of",
    "forget",
    "insert_sql",
    "list_columns",
    "slot_sql",
    "tally_new",
]
