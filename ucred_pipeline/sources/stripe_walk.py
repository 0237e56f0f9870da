"""A walk over a list of Stripe's: windows of creation times, cut among workers as they become idle.

Stripe lists newest first and serves a list no faster to one reader than page after page. So several
readers walk slices of the window at once. Payments come in bursts: slices cut beforehand leave one
reader with most of the rows (42 s against 4.2 s on 50,000 rows with 80% in one of 90 days). Here an
idle worker takes the older half of what the largest slice has still before it.
"""

from asyncio import Condition
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Generic, Protocol, TypeVar

from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.pool import drain
from ucred_pipeline.sources.stripe_connection import PAGE_SIZE, Page
from ucred_pipeline.sources.stripe_objects import SOURCE, Fields

T = TypeVar("T")

#: About how many rows a slice gathers before it closes what it has passed.
CHUNK: Final = 2_000
#: What is expected to take fewer rows than this is not worth a request of its own.
_WORTH_CUTTING: Final = 2 * PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Window:
    """A span of creation times, half-open, in whole seconds of UTC: from `since` to before `until`."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        for moment in (self.since, self.until):
            if moment.tzinfo is None or moment.microsecond:
                raise ValueError("a window has aware bounds of whole seconds")
        if self.until < self.since:
            raise ValueError("a window does not end before it begins")

    def minus(self, done: Iterable["Window"]) -> list["Window"]:
        """Give what is left of this window without those that are done, oldest first."""
        gaps, reached = [], self.since
        for window in sorted(done, key=lambda each: each.since):
            if reached < min(window.since, self.until):
                gaps.append(Window(reached, min(window.since, self.until)))
            reached = max(reached, window.until)
        if reached < self.until:
            gaps.append(Window(reached, self.until))
        return gaps


class PageReader(Protocol):
    """Reads one page of the rows created in [since, until), behind the row named by `after`."""

    async def __call__(self, since: int, until: int, after: str | None) -> Page:
        """Read the page."""
        ...


@dataclass(eq=False, slots=True)
class _Slice(Generic[T]):
    """One worker's part of the walk.

    [low, top) is not closed yet. Every row of it created after the second `reached` has been read, and
    of that second those up to `cursor`. `pace` is how many rows a second the newest page held.
    """

    low: int
    top: int
    reached: int
    pace: float = 0.0
    cursor: str | None = None
    gathered: list[tuple[int, T]] = field(default_factory=list)

    @property
    def ahead(self) -> int:
        return self.reached - self.low

    @property
    def expected(self) -> float:
        """How many rows are still ahead, if they go on as on the newest page."""
        return self.pace * self.ahead

    def cut(self) -> "_Slice[T]":
        """Give the older half away. The second `reached` stays here, with its cursor."""
        middle = self.low + (self.ahead + 1) // 2
        older: _Slice[T] = _Slice(self.low, middle, middle - 1, self.pace)
        self.low = middle
        return older

    def advance(self, page: Page) -> list[Fields]:
        """Note how far a page reached, and give those of its rows that are still this slice's."""
        mine = [row for row in page.rows if row.created >= self.low]
        if not page.more or len(mine) < len(page.rows):
            self.reached, self.pace = self.low, 0.0
        else:
            oldest = mine[-1]
            self.pace = len(mine) / (self.reached - oldest.created + 1)
            self.reached, self.cursor = oldest.created, oldest.id
        return mine


class Walk(Generic[T]):
    """Reads every row of some windows once, and tells which parts of them are closed.

    `take` turns rows into items, one for each. `closed` is called with windows that tile the ones
    walked, and with the items of each, when the list itself has shown that there are no others.
    """

    def __init__(
        self,
        read: PageReader,
        take: Callable[[Sequence[Fields]], Awaitable[Sequence[T]]],
        closed: Callable[[Window, list[T]], None],
        workers: int,
    ) -> None:
        self._read = read
        self._take = take
        self._closed = closed
        self._workers = workers
        self._waiting: deque[_Slice[T]] = deque()
        self._walked: set[_Slice[T]] = set()
        self._moved = Condition()

    async def over(self, windows: Iterable[Window]) -> None:
        """Walk the windows to their ends."""
        for window in windows:
            low, top = int(window.since.timestamp()), int(window.until.timestamp())
            if low < top:
                self._waiting.append(_Slice(low, top, top - 1))
        await drain(range(self._workers), self._work, self._workers)

    async def _work(self, _: int) -> None:
        while (part := await self._next()) is not None:
            await self._walk(part)
            async with self._moved:
                self._walked.discard(part)
                self._moved.notify_all()

    async def _next(self) -> _Slice[T] | None:
        async with self._moved:
            while not (part := self._available()):
                if not self._walked:
                    return None
                await self._moved.wait()
            self._walked.add(part)
            return part

    def _available(self) -> _Slice[T] | None:
        if self._waiting:
            return self._waiting.popleft()
        largest = max(self._walked, key=lambda part: part.expected, default=None)
        return largest.cut() if largest is not None and largest.expected > _WORTH_CUTTING else None

    async def _walk(self, part: _Slice[T]) -> None:
        more = True
        while more:
            page = await self._read(part.low, part.top, part.cursor)
            _check_order(part, page.rows)
            # Before the first await: a cut from here on must see how far this page reached.
            mine = part.advance(page)
            more = page.more and len(mine) == len(page.rows)
            async with self._moved:
                self._moved.notify_all()
            items = await self._take(mine)
            part.gathered += zip((row.created for row in mine), items, strict=True)
            self._close(part, whole=not more)

    def _close(self, part: _Slice[T], *, whole: bool) -> None:
        border = part.low if whole else part.reached + 1
        if not whole and (len(part.gathered) < CHUNK or part.gathered[0][0] < border):
            return
        items = [item for created, item in part.gathered if created >= border]
        part.gathered = part.gathered[len(items) :]
        self._closed(Window(_moment(border), _moment(part.top)), items)
        part.top = border


def _check_order(part: _Slice[T], rows: Sequence[Fields]) -> None:
    newest = part.reached
    for row in rows:
        if row.created > newest:
            raise SourceUnreadable(
                SOURCE,
                f"{row.id} was listed out of order or out of the time asked for",
                "Nothing was decided. Check that STRIPE_API_BASE leads to Stripe's API and to nothing else.",
            )
        newest = row.created


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
