"""Many schedules: played over all cores, and where one fails made as small as it can be."""

import gc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Final

from ucred_pipeline_tests.simulation.schedule import Case, Outcome, case_of, play

_CHUNK: Final = 25


def play_all(seeds: Iterable[int], workers: int, case: Callable[[int], Case] = case_of) -> Iterator[Outcome]:
    """Play the schedules of seeds, over as many cores; outcomes come as they are ready, chunk by chunk."""
    waiting = iter(seeds)
    if workers == 1:
        yield from (play(case(seed)) for seed in waiting)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _collect_rarely) as pool:
        chunks = iter(lambda: list(islice(waiting, _CHUNK)), [])
        for outcomes in pool.map(partial(_play_some, case), chunks):
            yield from outcomes


def _collect_rarely() -> None:
    """What is loaded stays, and a schedule leaves few cycles: looking for them seldom takes a tenth off."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _play_some(case: Callable[[int], Case], seeds: list[int]) -> list[Outcome]:
    return [play(case(seed)) for seed in seeds]


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
