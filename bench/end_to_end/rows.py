"""The rows of the table: what is posted, in which shape, and what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass

SINKS = 10  # far ends of the tenant with the most
IDLE_RATE = 20.0  # POSTs a second of the idle row
MODERATE_RATE = 2_500.0  # alerts a second of the row of moderate load


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `sinks` is how many requests each event becomes; `rate` 0 posts as fast as answers come.

    `beside` names the row whose cost this one's is divided by; empty: the peer's.
    """

    name: str
    title: str
    tenant: str
    each: int  # events in a POST
    connections: int
    kind: str = "alert"
    sinks: int = 1
    rate: float = 0.0  # POSTs a second
    streams: bool = False
    peer: bool = True
    beside: str = ""

    @property
    def ports(self) -> range:
        """Which of the far ends get its events: the first ones are event sinks, and the last one is S3."""
        return range(SINKS, SINKS + 1) if self.streams else range(self.sinks)


def make_feature_row(name: str, title: str, sinks: int = 1) -> Row:
    """Return the row of a tenant that uses a feature, in the shape of the row `hundred`."""
    return Row(name, title, name, 100, 8, sinks=sinks, peer=False, beside="hundred")


ROWS = (
    Row("one", "one alert per POST, 64 connections", "plain", 1, 64),
    Row("hundred", "100 per POST, 8 connections", "plain", 100, 8),
    Row("ten", "100 per POST, 8 connections, 10 sinks, per delivery", "ten", 100, 8, sinks=SINKS),
    Row("audit", "audit events, 1,000 per POST, taken in", "bulk", 1000, 4, "audit", 0, peer=False),
    Row("flows", "network traffic, 1,000 per POST, taken in", "bulk", 1000, 4, "flow", 0, peer=False),
    Row("s3", "audit events, 1,000 per POST, until in S3", "s3", 1000, 4, "audit", 0, streams=True, peer=False),
    Row("idle", "idle: 20 alerts a second, 1 connection", "plain", 1, 1, rate=IDLE_RATE),
    Row("moderate", "2,500 alerts a second, 64 connections", "plain", 1, 64, rate=MODERATE_RATE),
    make_feature_row("filter", "100 per POST, the sink has a filter"),
    make_feature_row("throttle", "100 per POST, the sink has a throttle"),
    make_feature_row("silence", "100 per POST, a silence of other alerts is in force"),
    make_feature_row("silenced", "100 per POST, a silence holds all of them back", sinks=0),
)
TENANTS = tuple(dict.fromkeys(row.tenant for row in ROWS))
