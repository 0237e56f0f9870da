"""Where and when a run is killed: between two of its steps, or from outside at a moment."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ucred_pipeline_tests.end_to_end.kills.boundaries import Boundary
from ucred_pipeline_tests.end_to_end.kills.processes import Running


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody outside sees of runs: how long one takes, and the credits that took effect by now."""

    typical_s: float
    effects: Callable[[], int]


class Kill(Protocol):
    """Where a run is to be killed."""

    @property
    def boundary(self) -> Boundary | None:
        """Where it ends itself, if it does."""
        ...

    def strike(self, run: Running, seen: Seen) -> None:
        """Kill it from outside, if it does not end itself."""
        ...


@dataclass(frozen=True, slots=True)
class AtBoundary:
    """The run ends itself between two steps."""

    boundary: Boundary

    def strike(self, run: Running, seen: Seen) -> None:
        """Nobody need do anything."""

    def __str__(self) -> str:
        return f"at: {self.boundary}"


@dataclass(frozen=True, slots=True)
class AtMoment:
    """The run is killed once a share of the time has gone by that runs take."""

    share: float

    @property
    def boundary(self) -> None:
        """It does not end itself."""

    def strike(self, run: Running, seen: Seen) -> None:
        """Wait, and kill."""
        until = time.monotonic() + self.share * seen.typical_s
        while run.is_alive and time.monotonic() < until:
            time.sleep(0.005)
        run.kill()

    def __str__(self) -> str:
        return f"after {self.share:.0%} of the time that a run takes"


@dataclass(frozen=True, slots=True)
class AfterEffect:
    """The run is killed a while after its n-th credit took effect, with the answer on its way or read."""

    number: int
    pause_s: float

    @property
    def boundary(self) -> None:
        """It does not end itself."""

    def strike(self, run: Running, seen: Seen) -> None:
        """Wait for the effect, and kill."""
        wanted = seen.effects() + self.number
        while run.is_alive and seen.effects() < wanted:
            time.sleep(0.001)
        time.sleep(self.pause_s)
        run.kill()

    def __str__(self) -> str:
        return f"{self.pause_s * 1000:.0f} ms after its effect {self.number}"


def random_strike(chance: random.Random) -> Kill:
    """Draw a moment: anywhere in a run, or, where it hurts most, while credits are on their way."""
    if chance.random() < 0.4:
        return AtMoment(chance.uniform(0, 1))
    return AfterEffect(chance.randint(1, 3), chance.choice([0, chance.uniform(0, 0.08)]))
