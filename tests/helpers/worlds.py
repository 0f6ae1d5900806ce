"""Invented worlds: what the engine takes for the outside, so that a test decides what it answers and when."""

import itertools
import time

from eventsinks.lib.net.wire import ExchangeFailed, Response


class World:
    """Answers each request as `answers(request)` says; None holds it back until `release`."""

    def __init__(self, answers=lambda request: Response(200, [], b"")):
        self.answers = answers
        self.log = []  # ("sent" or "ended", webhook-id, url), in order
        self.held = {}
        self._ready = []
        self._numbers = itertools.count()
        self.most = 0
        self.rested = 0.0

    @property
    def in_flight(self):
        return len(self.held) + len(self._ready)

    def start(self, request, token):
        self.log.append(("sent", dict(request.headers).get("webhook-id"), request.url))
        outcome = self.answers(request)
        if outcome is None:
            self.held[next(self._numbers)] = (request, token)
        else:
            self._ready.append((request, token, outcome))
        self.most = max(self.most, self.in_flight)

    def poll(self, wait):
        ready, self._ready = self._ready, []
        if not ready:
            self.waited(wait)
        for request, _, _ in ready:
            self.log.append(("ended", dict(request.headers).get("webhook-id"), request.url))
        return [(token, outcome) for _, token, outcome in ready]

    def waited(self, wait):
        """Wait as long as the engine would, or a moment: whoever releases what is held may be another thread."""
        time.sleep(min(wait, 0.01))

    def release(self, outcome=None):
        """Let what is held end: with `outcome`, or as a timeout."""
        end = outcome or ExchangeFailed("timeout", "no answer", outcome_unknown=True)
        held, self.held = self.held, {}
        self._ready += [(request, token, end) for request, token in held.values()]

    def sent(self, url=None):
        """Return the webhook-ids that were sent, in order."""
        return [id for what, id, to in self.log if what == "sent" and url in (None, to)]

    def wake(self):
        pass

    def close(self):
        pass


class Patience(World):
    """A world whose held requests end after the engine has waited out `rounds` times with nothing else to do."""

    def __init__(self, answers, rounds=5):
        super().__init__(answers)
        self.rounds = self.left = rounds

    def waited(self, wait):
        time.sleep(min(wait, 0.1))
        self.left -= 1
        if self.left <= 0 and self.held:
            self.log.append(("released", None, None))
            self.release()
            self.left = self.rounds
