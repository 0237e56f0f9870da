"""Kills the real command from the command line: every step boundary, and many random moments."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from ucred_pipeline_tests.end_to_end.kills.campaign import Case, Database, play_all
from ucred_pipeline_tests.end_to_end.kills.hardship import Figures
from ucred_pipeline_tests.postgresql import NotUsable, serving

_SQLITE, _POSTGRESQL = "sqlite", "postgresql"
#: So many in one world; what lacks grows with each, and with it what a run has to read.
_KILLS_IN_A_WORLD: Final = 10


def main() -> int:
    """Do what the command line asks; 1 where something happened that must never happen."""
    asked = _parser().parse_args()
    if not hasattr(signal, "SIGKILL"):
        _say("nothing was killed: this system has no SIGKILL")
        return 0
    with ExitStack() as stack:
        cases = [case for found in _databases(asked.database, stack) for case in _cases(found, asked)]
        return _campaign(cases, asked.workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ucred_pipeline_tests.end_to_end.kills",
        description="Kills `ucred reconcile --apply` at every step boundary and at random moments.",
    )
    parser.add_argument("--kills", type=int, default=200, help="random ones for each database (default 200)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--database", choices=[_SQLITE, _POSTGRESQL], help="this one alone")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: cores)")
    return parser


def _databases(only: str | None, stack: ExitStack) -> Iterator[Database]:
    if only != _POSTGRESQL:
        yield Database()
    if only != _SQLITE:
        try:
            yield Database(stack.enter_context(serving()))
        except NotUsable as error:
            _say(f"NOT on PostgreSQL: {error}")


def _cases(database: Database, asked: argparse.Namespace) -> Iterator[Case]:
    yield Case(database, asked.start, None)
    for number, done in enumerate(range(0, asked.kills, _KILLS_IN_A_WORLD)):
        yield Case(database, asked.start + number, min(_KILLS_IN_A_WORLD, asked.kills - done))


def _campaign(cases: list[Case], workers: int) -> int:
    began, total, figures = time.monotonic(), len(cases), dict[str, Figures]()
    for done, (case, found) in enumerate(play_all(cases, workers), 1):
        of_database = figures.setdefault(str(case.database), Figures())
        of_database += found
        for violation in found.violations:
            _say(f"{case}: {violation}")
        if found.violations:
            _say(f"again: {_again(case)}")
        left = (time.monotonic() - began) / done * (total - done)
        _say(f"{done} of {total} worlds, {left / 60:.0f} min left; {case}: {_told(found)}")
    for name, of_database in sorted(figures.items()):
        _say(f"{name}: {_told(of_database)}")
    return 1 if any(found.violations for found in figures.values()) else 0


def _told(found: Figures) -> str:
    return (
        f"{found.kills} kills, {found.runs} other runs, {found.sends} credits sent, "
        f"{found.effects} took effect, {found.doubled} doubled, {found.lost} lost, "
        f"{found.left_to_a_person} left to a person, breaker released {found.releases} times, "
        f"{len(found.violations)} violations"
    )


def _again(case: Case) -> str:
    """Name the command that draws the same world and moments; the machine's pace is never quite the same."""
    return (
        f"python -m ucred_pipeline_tests.end_to_end.kills --start {case.seed} "
        f"--kills {case.random_kills or 0} --database {case.database}"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
