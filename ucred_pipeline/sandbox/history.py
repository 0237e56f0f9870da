"""The seeded history: which stories happened, when, and to whom."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ucred_pipeline.sandbox.cases import (
    ABANDONED,
    CREDITED,
    FOREIGN,
    LACKING,
    PLACEHOLDER,
    PROCESSING,
    SPECIAL,
    Story,
)
from ucred_pipeline.sandbox.spec import SandboxSpec

_FIRST: Final = ("ada", "bela", "cleo", "dara", "enno", "fia", "gus", "hana", "ivo", "jule", "kai", "lina")
_LAST: Final = (
    "abel",
    "berg",
    "cruz",
    "dorn",
    "evans",
    "falk",
    "grau",
    "holt",
    "ito",
    "jensen",
    "kern",
    "lam",
)
#: How often an ordinary purchase is made by somebody who bought before: 1.4 purchases an account.
_RETURNING: Final = 0.29


@dataclass(frozen=True, slots=True)
class Happening:
    """A story that begins at some moment for some buyer."""

    created: datetime
    story: Story
    email: str
    address_at_stripe: str | None
    #: Happenings of one special case share it; one of them may take another's namespace over.
    family: int


class History:
    """Draws the happenings of a world."""

    def __init__(self, spec: SandboxSpec, now: datetime) -> None:
        self._spec = spec
        self._now = now
        self._random = random.Random(spec.seed)
        self._buyers = 0
        self._families = 0
        self._returning: list[str] = []

    def happenings(self) -> list[Happening]:
        """All of them, in the order in which they began."""
        special = list(self._special()) if self._spec.special_cases else []
        purchases = sum(not _beside(happening.story) for happening in special)
        ordinary = self._ordinary(max(0, self._spec.purchases - purchases))
        return sorted([*special, *ordinary], key=lambda happening: happening.created)

    def _special(self) -> Iterator[Happening]:
        for family in SPECIAL:
            for _ in range(1 + self._spec.purchases // 1000):
                yield from self._family(family)
        yield from self._family((PLACEHOLDER,))
        beside = max(3, self._spec.purchases // 20)
        for number in range(beside):
            yield from self._family((ABANDONED[number % len(ABANDONED)],))
            yield from self._family((FOREIGN,))
        yield from self._family((PROCESSING,))

    def _family(self, stories: tuple[Story, ...]) -> Iterator[Happening]:
        self._families += 1
        shared = self.stranger()
        for story in stories:
            email = story.address or shared
            elsewhere = story.address_at_stripe
            yield Happening(
                self._moment(story),
                story,
                email.format(n=self._families),
                None if elsewhere is None else elsewhere.format(n=self._families),
                self._families,
            )

    def _ordinary(self, count: int) -> Iterator[Happening]:
        lacking = min(count, round(self._spec.lacking_share * self._spec.purchases))
        if self._spec.special_cases and lacking:
            lacking = min(count, max(lacking, len(LACKING)))
        for number in range(count):
            story = LACKING[number % len(LACKING)] if number < lacking else CREDITED
            yield Happening(self._moment(story), story, self._buyer(), None, 0)

    def _buyer(self) -> str:
        if self._returning and self._random.random() < _RETURNING:
            return self._random.choice(self._returning)
        self._returning.append(self.stranger())
        return self._returning[-1]

    def stranger(self) -> str:
        """An address that nobody has bought with."""
        self._buyers += 1
        first, last = self._random.choice(_FIRST), self._random.choice(_LAST)
        return f"{first}.{last}{self._buyers}@example.com"

    def _moment(self, story: Story) -> datetime:
        days = self._random.uniform(*story.ages)
        return self._now - timedelta(days=days)


def _beside(story: Story) -> bool:
    return story is FOREIGN or story is PROCESSING or story in ABANDONED
