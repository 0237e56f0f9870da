"""The command `ucred` in processes of their own, each forked from one that has run it once already.

Nobody waits for Python's imports hundreds of times, and a random moment falls into the run.
"""

import gc
import os
import sys
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Final

from ucred_pipeline_tests.end_to_end.kills.boundaries import Boundary, ending_at
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

#: What a run has in memory before it begins; psycopg is for a ledger that the practice does not use.
_PRELOADED: Final = (
    "psycopg",
    "ucred_pipeline_tests.end_to_end.kills.practised",
)
_LONGEST_S: Final = 120


class Running:
    """The command in a process that runs."""

    def __init__(self, world: Rehearsal, *arguments: str, boundary: Boundary | None = None) -> None:
        self._said = world.folder / "said.txt"
        told = (("ucred", "--env-file", str(world.env_file), *arguments), world.dagster_home)
        self._process = _context().Process(target=_run, args=(*told, self._said, boundary))
        self._process.start()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> None:
        """Kill it by SIGKILL."""
        self._process.kill()

    def end(self) -> int:
        """Wait until it has ended, and give its code: below 0 the signal that killed it."""
        self._process.join(_LONGEST_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"the command had not ended after {_LONGEST_S} s: {self.said()}")
        return self._process.exitcode

    def said(self) -> str:
        """The end of what it wrote."""
        return self._said.read_text(encoding="utf-8", errors="replace")[-2000:]


@cache
def _context() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


def _run(arguments: tuple[str, ...], dagster_home: Path, said: Path, boundary: Boundary | None) -> None:
    """Be the command, until its end or until the boundary."""
    from ucred_pipeline import cli  # noqa: PLC0415 - in this process alone

    gc.freeze()  # or looking for garbage copies the memory that all share
    writing = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(writing, standard)
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    sys.argv = list(arguments)
    with ending_at(boundary):
        cli.main()
