"""Many worlds on a database, each from its seed: every step boundary, and random moments."""

import logging
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.end_to_end.kills.boundaries import BOUNDARIES
from ucred_pipeline_tests.end_to_end.kills.hardship import RULES, Figures, Hardship
from ucred_pipeline_tests.end_to_end.kills.strikes import AtBoundary, random_strike
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.postgresql import PostgreSQL

#: How often it is tried to kill a run, for each kill: it may have ended before.
_TRIES: Final = 4
#: How often each fault of a credit happens.
_FAULTS: Final = 0.05
_FEW_FAULTS: Final = 0.01
_NUMBERS: Final = count()


@dataclass(frozen=True, slots=True)
class Database:
    """Where the ledgers are: on a server, or in a file each where there is none."""

    server: PostgreSQL | None = None

    def __str__(self) -> str:
        return "postgresql" if self.server else "sqlite"


@dataclass(frozen=True, slots=True)
class Case:
    """One world to play; without a number of random kills it is the one of the step boundaries."""

    database: Database
    seed: int
    random_kills: int | None

    def __str__(self) -> str:
        return f"{self.database}, seed {self.seed}"


def play(case: Case) -> Figures:
    """Play a world; a random one has logs where its seed is even."""
    logs = case.random_kills is None or case.seed % 2 == 0
    with _world(case, logs=logs) as world:
        if case.random_kills is None:
            world.let_fail(_FEW_FAULTS)
            _kill_at_boundaries(world)
        else:
            world.let_fail(_FAULTS)
            _kill_at_random(world, random.Random(case.seed), case.random_kills)
        world.calm_down()
    return world.figures


def play_all(cases: Sequence[Case], workers: int) -> Iterator[tuple[Case, Figures]]:
    """Play worlds in as many processes; they come as they are ready."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_be_quiet) as pool:
        playing = {pool.submit(play, case): case for case in cases}
        for done in as_completed(playing):
            yield playing[done], done.result()


def _be_quiet() -> None:
    """Hear nothing of clients that are killed, which to the sandbox's server are errors with a traceback."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def _kill_at_boundaries(world: Hardship) -> None:
    for boundary in BOUNDARIES:
        if not any(world.kill_one(AtBoundary(boundary)) for _ in range(_TRIES)):
            world.figures.violations.append(f"no run came to: {boundary}")


def _kill_at_random(world: Hardship, chance: random.Random, kills: int) -> None:
    for _ in range(kills * _TRIES):
        if world.figures.kills == kills:
            return
        world.kill_one(random_strike(chance))
    world.figures.violations.append(f"only {world.figures.kills} of {kills} runs were killed in time")


@contextmanager
def _world(case: Case, *, logs: bool) -> Iterator[Hardship]:
    spec = SandboxSpec(
        seed=case.seed, purchases=20, lacking_share=0.2, special_cases=False, lost_answers=0, logs=logs
    )
    with (
        TemporaryDirectory(prefix="ucred kills ", ignore_cleanup_errors=True) as folder,
        _ledger(case.database) as variables,
        Rehearsal(Path(folder), spec, rules=RULES, real_time=True) as rehearsal,
    ):
        rehearsal.variables |= variables
        yield Hardship(rehearsal, random.Random(case.seed))


@contextmanager
def _ledger(database: Database) -> Iterator[dict[str, str]]:
    if database.server is None:
        yield {}
        return
    name = f"killed_{os.getpid()}_{next(_NUMBERS)}"
    database.server.execute(f"CREATE DATABASE {name}")
    yield {"UCRED_DATABASE_URL": database.server.url(name)}
    database.server.execute(f"DROP DATABASE {name} WITH (FORCE)")
