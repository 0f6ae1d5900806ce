"""The account of a run: what was accepted against what arrived, and what each duplicate came from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from chaos.far_ends import Arrival
from chaos.load import Accepted
from chaos.names import ORDERED, OWED
from chaos.world import Done

REQUESTS = {"http": 50} | dict.fromkeys(ORDERED, 1)  # at most in flight at places that have another bound
SLACK = 1.0  # seconds: an arrival is noted a little later than the harm that follows it, or before


@dataclass(frozen=True, slots=True)
class Place:
    """What came of one place: how many events came, how many of them again, and by one harm at most.

    `unexplained` are those that came again without a harm that can be the cause.
    """

    events: int
    again: int
    by_one_harm: int
    unexplained: int


@dataclass(slots=True)
class Verdict:
    """What came of a run. A promise is broken if `broken` names it."""

    figures: dict[str, object] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def check(self, name: str, found: object, wanted: object = 0) -> None:
        """Note a figure, which has to be `wanted`."""
        self.figures[name] = found
        if found != wanted:
            self.broken.append(f"{name}: {found!r}, and not {wanted!r}")


def find_missing(accepted: Iterable[Accepted], taken: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Return the accepted events that did not arrive at a place that must have them: (event, place)."""
    return [
        (one.event, place)
        for one in accepted
        for place in OWED[one.kind]
        if one.event not in taken.get(place, set())
    ]


def group_by_place(arrivals: Iterable[Arrival]) -> dict[str, dict[str, list[Arrival]]]:
    """Return the arrivals by place and event."""
    found: dict[str, dict[str, list[Arrival]]] = defaultdict(lambda: defaultdict(list))
    for one in arrivals:
        found[one.place][one.event].append(one)
    return found


def count_second_ids(by_place: Mapping[str, Mapping[str, Sequence[Arrival]]]) -> int:
    """Return how many ids stand for two events of a place, and how many events came under two ids."""
    wrong = 0
    for events in by_place.values():
        events_of: dict[str, set[str]] = defaultdict(set)
        for event, arrivals in events.items():
            ids = {one.id for one in arrivals}
            wrong += len(ids) - 1
            for id in ids - {""}:
                events_of[id].add(event)
        wrong += sum(len(found) - 1 for found in events_of.values())
    return wrong


def list_gaps(events: Mapping[str, Sequence[Arrival]]) -> list[tuple[float, float]]:
    """Return for each duplicate when the event came before, and when it came again."""
    return [(before.at, again.at) for arrivals in events.values() for before, again in pairwise(arrivals)]


def assign(gaps: Sequence[tuple[float, float]], harms: Sequence[Done], each: int = 0) -> tuple[Counter[int], int]:
    """Assign each duplicate to a harm between its two arrivals.

    A harm explains at most `each` duplicates; 0: as many as deliveries were being sent. Return how many each harm
    explains, by its place in `harms`, and how many duplicates are left over. This explains as many as possible: a
    harm takes those that came again first.
    """
    left, used = sorted(gaps, key=lambda gap: gap[1]), Counter[int]()
    for place, harm in sorted(enumerate(harms), key=lambda pair: pair[1].ended):
        room = each or harm.sending
        for gap in list(left):
            if used[place] < room and gap[0] - SLACK <= harm.ended and harm.began - SLACK <= gap[1]:
                used[place] += 1
                left.remove(gap)
    return used, len(left)


def is_in_order(arrivals: Sequence[Arrival]) -> bool:
    """Whether events arrived in the order of their numbers. The same again is no disorder."""
    numbers = [one.event for one in arrivals]
    return numbers == sorted(numbers)


def judge(
    verdict: Verdict,
    accepted: Sequence[Accepted],
    arrivals: Sequence[Arrival],
    bucket: Mapping[str, int],
    done: Sequence[Done],
) -> None:
    """Check what arrived against what was accepted, and each duplicate against the harms that can cause one."""
    by_place = group_by_place(arrivals)
    taken = {place: set(events) for place, events in by_place.items()} | {"s3": set(bucket)}
    verdict.figures["accepted"] = len(accepted)
    missing = find_missing(accepted, taken)
    verdict.check("lost", len(missing))
    if missing:
        verdict.figures["lost, the first"] = missing[:10]
    verdict.check("under a second id", count_second_ids(by_place))
    verdict.check("in S3 more than once", sum(number > 1 for number in bucket.values()))
    for place, events in sorted(by_place.items()):
        gaps = list_gaps(events)
        used, left = assign(gaps, done, REQUESTS.get(place, 0))
        verdict.places[place] = Place(len(events), len(gaps), max(used.values(), default=0), left)
        if left:
            verdict.broken.append(f"at {place}: {left} came again without a harm that explains it")
    for place in ORDERED:
        own = [one for one in arrivals if one.place == place]
        verdict.check(f"at {place}, in order", is_in_order(own), wanted=True)
