"""A list as Stripe keeps it: newest first, walked by cursors, filtered by time."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ucred_pipeline.sandbox.stripe_records import Record, owners_of

R = TypeVar("R", bound=Record)
_Key = tuple[int, int]
_FOREVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open interval of `created`, in seconds."""

    start: int = -_FOREVER
    end: int = _FOREVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which rows of a list are asked for; the cursors are ids that the shelf has."""

    limit: int = 10
    span: Span = Span()
    after: str | None = None
    before: str | None = None
    #: Only rows of this PaymentIntent or charge.
    owner: str | None = None


class Shelf(Generic[R]):
    """Records of one kind, sorted by the time they were created and then by arrival."""

    def __init__(self) -> None:
        self._keys: list[_Key] = []
        self._records: dict[_Key, R] = {}
        self._key_of: dict[str, _Key] = {}
        self._owned: dict[str, list[_Key]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, record: R) -> None:
        """Add a record, or replace the one of the same id where it stands."""
        key = self._key_of.get(record.id)
        if key is None:
            key = (record.created, len(self._key_of))
            self._key_of[record.id] = key
            insort(self._keys, key)
            for owner in owners_of(record):
                insort(self._owned.setdefault(owner, []), key)
        self._records[key] = record

    def get(self, record_id: str) -> R | None:
        """The record of an id."""
        key = self._key_of.get(record_id)
        return None if key is None else self._records[key]

    def owned_by(self, owner: str) -> list[R]:
        """All records of a PaymentIntent or a charge, newest first."""
        return [self._records[key] for key in reversed(self._owned.get(owner, ()))]

    def page(self, page: Page, wanted: Callable[[R], bool]) -> tuple[list[R], bool]:
        """The rows of a page, newest first, and whether there are more in its direction."""
        keys = self._keys if page.owner is None else self._owned.get(page.owner, [])
        low = bisect_left(keys, (page.span.start, -1))
        high = bisect_left(keys, (page.span.end, -1))
        if page.before is not None:
            low = max(low, bisect_right(keys, self._key_of[page.before]))
            rows = self._gather(keys, range(low, high), page.limit, wanted)
            return rows[: page.limit][::-1], len(rows) > page.limit
        if page.after is not None:
            high = min(high, bisect_left(keys, self._key_of[page.after]))
        rows = self._gather(keys, range(high - 1, low - 1, -1), page.limit, wanted)
        return rows[: page.limit], len(rows) > page.limit

    def _gather(
        self, keys: Sequence[_Key], places: range, limit: int, wanted: Callable[[R], bool]
    ) -> list[R]:
        rows: list[R] = []
        for record in self._at(keys, places):
            if wanted(record):
                rows.append(record)
                if len(rows) > limit:
                    break
        return rows

    def _at(self, keys: Sequence[_Key], places: range) -> Iterator[R]:
        return (self._records[keys[place]] for place in places)
