"""The side that caused a failed attempt, in plain words."""

from __future__ import annotations

from eventsinks.models import Attempt

# The reasons why no answer came (lib.net.wire.ExchangeFailed), with the side that caused each and what to check.
NO_ANSWER = {
    "dns_error": "The far end’s side, or a mistyped URL: its host name can’t be resolved.",
    "address_refused": "The settings of the event sink: the URL leads to an address that may not be dialled.",
    "connection_refused": "The far end’s side: nothing listens at its address and port.",
    "connection_failed": "The far end’s side or the network between: no connection came about.",
    "tls_error": "The far end’s side: its certificate is not good (expired, another name, unknown issuer).",
    "timeout": "The far end’s side or the network between: it did not answer in time.",
    "connection_lost": "The far end’s side or the network between: the connection broke before an answer.",
    "bad_response": "The far end’s side: what it answered is not HTTP.",
    "bad_request": "The settings of the event sink: the request can’t be written as HTTP.",
}
ANSWERS = {  # what the status of an answer says about the side that caused it
    401: "The settings of the event sink: the far end does not accept its credentials.",
    403: "The settings of the event sink: the far end does not allow it what it asks for.",
    404: "The settings of the event sink or the far end’s side: there is nothing at this address.",
    408: "The far end’s side: it did not read the request in time.",
    410: "The far end’s side: it says that this address is gone for good.",
    413: "The event: it is too large for the far end.",
    429: "The far end’s side: it wants to be sent less at a time.",
}


def strip_code(reason: str) -> str:
    """Return a reason without its code for machines."""
    word, _, message = reason.partition(": ")
    return message if word in NO_ANSWER and message else reason


def tell_side(attempt: Attempt) -> str:
    """Return which side caused a failure, as far as we can know."""
    if attempt.status is None:
        return NO_ANSWER.get(attempt.reason.partition(":")[0], "")
    if attempt.status in ANSWERS:
        return ANSWERS[attempt.status]
    if attempt.status >= 500:
        return "The far end’s side: it answered that it has a fault."
    if 300 <= attempt.status < 400:
        return "The settings of the event sink: the far end has moved, and redirects are not followed."
    return "The event or the settings of the event sink: the far end did not accept the request."
