"""Windows and the walk over them: no gap, no overlap, every row once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ucred_pipeline.sources import stripe_walk
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.stripe_connection import Page
from ucred_pipeline.sources.stripe_objects import Fields
from ucred_pipeline.sources.stripe_walk import Walk, Window


def moment(seconds: int) -> datetime:
    """Give the moment so many seconds after 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def window(since: int, until: int) -> Window:
    """Give the window between two seconds."""
    return Window(moment(since), moment(until))


class ShuffledList:
    """A list as Stripe serves it, with pages of any size, in any interleaving of its readers."""

    def __init__(self, seconds: Sequence[int], page_size: int, seed: int) -> None:
        self.rows = [
            (created, f"pi_{number}") for number, created in enumerate(sorted(seconds, reverse=True))
        ]
        self.page_size = page_size
        self.random = Random(seed)
        self.requests = 0

    async def read(self, since: int, until: int, after: str | None) -> Page:
        """Serve one page after a pause of random length."""
        self.requests += 1
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        names = [name for _, name in self.rows]
        start = 0 if after is None else names.index(after) + 1
        found = [(created, name) for created, name in self.rows[start:] if since <= created < until]
        shown = [Fields({"id": name, "created": created}) for created, name in found[: self.page_size]]
        return Page(shown, len(found) > self.page_size)

    async def take(self, rows: Sequence[Fields]) -> list[str]:
        """Turn rows into their ids, after a pause of random length."""
        for _ in range(self.random.randrange(3)):
            await asyncio.sleep(0)
        return [row.id for row in rows]


class Record:
    """What a walk said was closed."""

    def __init__(self) -> None:
        self.closed: list[tuple[Window, list[str]]] = []

    def __call__(self, part: Window, items: list[str]) -> None:
        """Note a closed window."""
        self.closed.append((part, items))

    @property
    def windows(self) -> list[Window]:
        """The windows closed, oldest first."""
        return sorted((part for part, _ in self.closed), key=lambda part: part.since)


times = st.integers(0, 5_000)
bursts = st.tuples(times, st.integers(1, 40)).map(lambda burst: [burst[0]] * burst[1])
histories = st.lists(st.one_of(times.map(lambda second: [second]), bursts), max_size=60).map(
    lambda parts: [second for part in parts for second in part]
)


@settings(deadline=None, max_examples=150)
@given(
    listed=st.builds(ShuffledList, histories, st.integers(1, 30), st.integers(0, 2**32)),
    bounds=st.lists(times, min_size=2, max_size=6, unique=True).map(sorted),
    workers=st.integers(1, 10),
    chunk=st.integers(1, 50),
    worth=st.integers(0, 60),
)
def test_closed_windows_tile_what_was_to_be_walked(
    listed: ShuffledList, bounds: list[int], workers: int, chunk: int, worth: int
) -> None:
    """Whatever the distribution and the interleaving, each row comes once, in the one window it is of."""
    whole = window(bounds[0], bounds[-1])
    done = [window(first, second) for first, second in zip(bounds[1:-1:2], bounds[2:-1:2], strict=False)]
    record = Record()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stripe_walk, "CHUNK", chunk)
        patch.setattr(stripe_walk, "_WORTH_CUTTING", worth)
        asyncio.run(Walk(listed.read, listed.take, record, workers).over(whole.minus(done)))

    expected = {
        name: created
        for created, name in listed.rows
        if whole.since <= moment(created) < whole.until
        and not any(part.since <= moment(created) < part.until for part in done)
    }
    assert Counter(name for _, items in record.closed for name in items) == Counter(list(expected))
    for part, items in record.closed:
        assert all(part.since <= moment(expected[name]) < part.until for name in items)
    tiles = sorted([*record.windows, *done], key=lambda part: part.since)
    assert [whole.since, *(part.until for part in tiles)] == [*(part.since for part in tiles), whole.until]


def test_an_empty_window_is_closed_with_nothing_in_it() -> None:
    """That a time holds no payment is a result, and costs one request."""
    listed, record = ShuffledList([], 100, 0), Record()

    asyncio.run(Walk(listed.read, listed.take, record, 10).over([window(0, 1_000)]))

    assert record.closed == [(window(0, 1_000), [])]
    assert listed.requests == 1


def test_a_long_slice_is_closed_piece_by_piece() -> None:
    """A crash loses a few thousand rows at most, and so much is held in memory."""
    listed, record = ShuffledList(range(10_000), 100, 0), Record()

    asyncio.run(Walk(listed.read, listed.take, record, 1).over([window(0, 10_000)]))

    assert max(len(items) for _, items in record.closed) <= stripe_walk.CHUNK + 100
    assert len(record.closed) >= 5


def test_a_second_with_many_rows_is_never_torn() -> None:
    """A chunk ends between two seconds: 5,000 rows of one second stay together."""
    listed, record = ShuffledList([500] * 5_000, 100, 0), Record()

    asyncio.run(Walk(listed.read, listed.take, record, 4).over([window(0, 1_000)]))

    assert [len(items) for _, items in record.closed if items] == [5_000]


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(Random(1).choices(range(7_776_000), k=50_000), id="even"),
        pytest.param(
            Random(2).choices(range(7_776_000), k=10_000)
            + Random(3).choices(range(4_000_000, 4_086_400), k=40_000),
            id="80% in one of 90 days",
        ),
    ],
)
def test_workers_share_a_burst(seconds: list[int]) -> None:
    """Ten workers need little more than a tenth of the rounds, and few requests more than the pages."""
    record = Record()
    rounds = RoundsList(seconds)

    asyncio.run(Walk(rounds.read, rounds.take, record, 10).over([window(0, 7_776_000)]))

    assert sum(len(items) for _, items in record.closed) == 50_000
    assert rounds.requests <= 500 * 1.25
    assert rounds.rounds <= 50 * 1.6


class RoundsList:
    """A list that answers all waiting readers at once, and counts how often it did."""

    def __init__(self, seconds: Sequence[int]) -> None:
        self.rows = sorted(seconds)
        self.requests = self.rounds = 0
        self._due: asyncio.Future[None] | None = None

    async def read(self, since: int, until: int, after: str | None) -> Page:
        """Serve one page when the round ends; a row's id is its place in time."""
        self.requests += 1
        await self._round()
        stop = _below(self.rows, until) if after is None else int(after)
        start = max(_below(self.rows, since), stop - 100)
        shown = [
            Fields({"id": str(place), "created": self.rows[place]})
            for place in range(stop - 1, start - 1, -1)
        ]
        return Page(shown, start > _below(self.rows, since))

    async def take(self, rows: Sequence[Fields]) -> list[str]:
        """Turn rows into their ids."""
        return [row.id for row in rows]

    async def _round(self) -> None:
        loop = asyncio.get_running_loop()
        if self._due is None or self._due.done():
            self._due = loop.create_future()
            self.rounds += 1
            loop.call_later(0.001, self._due.set_result, None)
        await self._due


def _below(rows: Sequence[int], bound: int) -> int:
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if rows[middle] < bound else (low, middle)
    return low


def test_rows_out_of_order_end_the_walk() -> None:
    """A list that is not newest first cannot be walked to its end."""
    record = Record()

    async def read(since: int, until: int, after: str | None) -> Page:  # noqa: ARG001 - whatever is asked
        return Page([Fields({"id": "pi_1", "created": 5}), Fields({"id": "pi_2", "created": 7})], more=False)

    async def take(rows: Sequence[Fields]) -> list[str]:
        return [row.id for row in rows]

    with pytest.raises(SourceUnreadable, match="pi_2 was listed out of order"):
        asyncio.run(Walk(read, take, record, 2).over([window(0, 10)]))

    assert record.closed == []


def test_a_failure_in_one_worker_stops_the_others() -> None:
    """What one worker could not read, the others do not hide."""
    listed = ShuffledList(range(5_000), 10, 0)
    record = Record()

    async def take(rows: Sequence[Fields]) -> list[str]:
        if rows and rows[-1].created < 1_000:
            raise SourceUnreadable("Stripe", "it broke", "Try again.")
        return [row.id for row in rows]

    with pytest.raises(SourceUnreadable, match="it broke"):
        asyncio.run(Walk(listed.read, take, record, 5).over([window(0, 5_000)]))

    assert all(part.since >= moment(1_000) for part in record.windows)


@pytest.mark.parametrize(
    "done, left",
    [
        ([], [(0, 100)]),
        ([(0, 100)], []),
        ([(0, 10), (10, 100)], []),
        ([(20, 30), (30, 40)], [(0, 20), (40, 100)]),
        ([(50, 200), (10, 60)], [(0, 10)]),
        ([(0, 90), (10, 20)], [(90, 100)]),
        ([(200, 300)], [(0, 100)]),
    ],
)
def test_a_window_without_what_is_done(done: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    """Closed windows, in any order, overlapping or outside, leave exactly the gaps between them."""
    gaps = window(0, 100).minus([window(*bounds) for bounds in done])

    assert gaps == [window(*bounds) for bounds in left]


@pytest.mark.parametrize(
    "since, until",
    [
        (datetime(2026, 1, 1), datetime(2026, 1, 2, tzinfo=UTC)),  # noqa: DTZ001 - what is to be refused
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC) + timedelta(microseconds=1)),
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_window_has_sound_bounds(since: datetime, until: datetime) -> None:
    """Naive, fractional and reversed bounds are refused: Stripe counts in whole seconds of UTC."""
    with pytest.raises(ValueError, match="a window"):
        Window(since, until)
