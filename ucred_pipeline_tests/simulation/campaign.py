"""Many schedules: played over all cores, counted, and where one fails made as small as it can be."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from typing import Final

from ucred_pipeline_tests.simulation.schedule import Case, Outcome, case_of, play

_CHUNK: Final = 25


@dataclass(slots=True)
class Figures:
    """What many schedules came to."""

    schedules: int = 0
    runs: int = 0
    posts: int = 0
    effects: int = 0
    crossed: int = 0
    by_person: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    profiles: dict[str, "Figures"] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count a schedule, also for its profile."""
        self._count(outcome)
        self.profiles.setdefault(outcome.profile, Figures())._count(outcome)

    @property
    def unaided(self) -> float:
        """The share of corrections that needed no person, from 0 to 1."""
        corrections = sum(self.ended.values()) - self.ended["epoch_closed"]
        left = self.by_person + sum(self.ended[state] for state in _LEFT_TO_A_PERSON)
        return 1 - left / corrections if corrections else 1.0

    def _count(self, outcome: Outcome) -> None:
        self.schedules += 1
        self.runs += outcome.runs
        self.posts += outcome.posts
        self.effects += outcome.effects
        self.crossed += outcome.crossed
        self.by_person += outcome.by_person
        self.faults += outcome.faults
        self.ended += outcome.ended
        if outcome.violations:
            self.failed[outcome.seed] = outcome.violations[0]


#: Where a correction stands that only a person takes further; a plan that waits for time does not count.
_LEFT_TO_A_PERSON: Final = ("in_doubt", "quarantined", "refused")


def play_all(seeds: Iterable[int], workers: int) -> Iterator[Outcome]:
    """Play the schedules of seeds, over as many cores; outcomes come as they are ready, chunk by chunk."""
    waiting = iter(seeds)
    if workers == 1:
        yield from (play(case_of(seed)) for seed in waiting)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        chunks = iter(lambda: list(islice(waiting, _CHUNK)), [])
        for outcomes in pool.map(_play_some, chunks):
            yield from outcomes


def _play_some(seeds: list[int]) -> list[Outcome]:
    return [play(case_of(seed)) for seed in seeds]


def shrink(case: Case, player: Callable[[Case], Outcome] = play) -> Case:
    """Make a schedule that fails smaller, as long as it fails: fewer purchases, then fewer faults."""
    smallest = case
    for purchases in (1, 2, 3, 4):
        fewer = replace(smallest, purchases=purchases)
        if player(fewer).violations:
            smallest = fewer
            break
    return _spare_faults(smallest, player)


def _spare_faults(case: Case, player: Callable[[Case], Outcome]) -> Case:
    """Spare the schedule one fault after the other, the last first."""
    smallest, number = case, player(case).fault_count - 1
    while number >= 0:
        milder = replace(smallest, spared=smallest.spared | {number})
        outcome = player(milder)
        if outcome.violations:
            smallest = milder
        number -= 1
    return smallest
