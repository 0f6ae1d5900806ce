"""Bytes that are held are bounded for each caller and in total, and whoever holds most makes place."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from eventsinks.front.answers import Refusal
from eventsinks.front.limits import FrontLimits
from eventsinks.front.readers import Readers

LIMITS = FrontLimits(
    head_seconds=9,
    body_seconds=9,
    answer_seconds=9,
    body_bytes=40,
    bodies=4,
    bodies_each=3,
    held_bytes=100,
    waiting=9,
    connections=9,
)


@pytest.fixture
def scene():
    """Return what runs a scene with readers, and checks that nothing is held after it."""

    def run(play):
        async def whole():
            readers = Readers(LIMITS)
            with ExitStack() as stack:
                await play(readers, lambda caller: stack.enter_context(readers.hold(caller)))
            assert (readers.count, readers.bytes, readers._held, readers._reading) == (0, 0, {}, {})

        asyncio.run(whole())

    return run


async def reading(readers, hold, count=0):
    """Read without an end; return "made place" once it has to."""
    try:
        async with asyncio.timeout(60) as clock:
            readers.start_reading(hold, clock)
            readers.grow(hold, count)
            await asyncio.sleep(60)
    except TimeoutError:
        return "made place"
    finally:
        readers.stop_reading(hold)


def test_the_largest_unfinished_body_of_the_same_caller_makes_place(scene):
    async def play(readers, hold):
        small = asyncio.create_task(reading(readers, hold("a"), 5))
        large = asyncio.create_task(reading(readers, hold("a"), 30))
        other = asyncio.create_task(reading(readers, hold("b"), 40))
        await asyncio.sleep(0)
        readers.grow(hold("a"), 30)
        assert await large == "made place"
        assert not small.done()
        assert not other.done()
        small.cancel()
        other.cancel()

    scene(play)


def test_what_has_come_whole_is_not_given_up_and_its_caller_is_refused(scene):
    async def play(readers, hold):
        readers.grow(hold("a"), 40)
        with pytest.raises(Refusal) as refused:
            readers.grow(hold("a"), 20)
        assert refused.value.answer.status == 503
        readers.grow(hold("b"), 20)

    scene(play)


def test_in_total_the_caller_who_holds_most_makes_place(scene):
    async def play(readers, hold):
        most = asyncio.create_task(reading(readers, hold("a"), 50))
        less = asyncio.create_task(reading(readers, hold("b"), 40))
        await asyncio.sleep(0)
        readers.grow(hold("c"), 30)
        assert await most == "made place"
        assert not less.done()
        less.cancel()

    scene(play)


def test_over_the_bound_of_all_the_slowest_of_who_has_most_makes_place(scene):
    async def play(readers, hold):
        slow = asyncio.create_task(reading(readers, hold("a"), 1))
        await asyncio.sleep(0.05)
        quick = asyncio.create_task(reading(readers, hold("a"), 1))
        others = [asyncio.create_task(reading(readers, hold(name))) for name in ("b", "c")]
        await asyncio.sleep(0.01)
        newcomer = asyncio.create_task(reading(readers, hold("d")))
        assert await asyncio.wait_for(slow, 20) == "made place"
        assert readers.count == 4
        for task in (quick, *others, newcomer):
            assert not task.done()
            task.cancel()

    scene(play)
