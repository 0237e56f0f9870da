"""Decides what goes wrong in one schedule, from its seed alone."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Fate:
    """The dice of one schedule; a fault that is `spared` does not happen, which is how a failure shrinks."""

    def __init__(self, seed: int, spared: frozenset[int] = frozenset()) -> None:
        self.dice = random.Random(seed)
        self.struck: Counter[str] = Counter()
        self.faults = 0
        self.calm = False
        self._spared = spared

    def strikes(self, fault: str, rate: float) -> bool:
        """Whether a fault happens here."""
        if self.calm or not rate or self.dice.random() >= rate:
            return False
        number, self.faults = self.faults, self.faults + 1
        if number in self._spared:
            return False
        self.struck[fault] += 1
        return True

    def between(self, least: float, most: float) -> float:
        """Draw a number."""
        return self.dice.uniform(least, most)

    def one_of(self, choices: Sequence[T]) -> T:
        """Draw one of several."""
        return self.dice.choice(choices)
