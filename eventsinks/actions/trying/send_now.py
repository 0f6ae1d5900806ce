"""Send now: sends one message, with all requests of the same try, while somebody waits for the result."""

from __future__ import annotations

from datetime import datetime

from eventsinks.destinations.base import MAX_REQUESTS, AnyDestinationType, Message
from eventsinks.lib.net.http import Outcome, exchange_once, open_outlet
from eventsinks.lib.net.wire import ExchangeFailed, Request
from eventsinks.limits.address_guard import make_guard
from eventsinks.models.destination import make_mail_server
from eventsinks.sending.judge import make_following_request
from eventsinks.sending.prepare import make_request

TIMEOUT = 10.0  # seconds to wait for each request


def send_now(kind: AnyDestinationType, message: Message, at: datetime) -> tuple[Request, Outcome]:
    """Return the last request that was sent and its outcome. Raises SendFailure if a request can't be built."""
    request = make_request(kind, message, at)
    with open_outlet(make_guard(), TIMEOUT, make_mail_server()) as way_out:
        for number in range(1, MAX_REQUESTS + 1):
            outcome: Outcome
            try:
                outcome = exchange_once(way_out, request, TIMEOUT + 1.0)
            except ExchangeFailed as error:
                outcome = error
            after = make_following_request(kind, message, request, outcome) if number < MAX_REQUESTS else None
            if after is None:
                break
            request = after
    return request, outcome
