"""Which runs live: a run's process holds a lock of the operating system, which ends with it.

Without it a run that a power cut ended is taken for running until its longest time is over, holds the pools
and a place in the queue, and the others wait for it. One that outlived its server still holds its lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import dagster as dg
from filelock import FileLock, Timeout

_FOLDER: Final = "live_runs"
_TAKEN_FOR_RUNNING: Final = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_DEAD: Final = "The run's process is gone: the machine or the server stopped while it ran."


@contextmanager
def alive(home: str, run_id: str) -> Iterator[None]:
    """Show that a run lives for as long as the block lasts."""
    file = _file(home, run_id)
    file.parent.mkdir(exist_ok=True)
    with FileLock(file):
        yield
        with suppress(OSError):  # Windows removes no open file
            file.unlink()
    file.unlink(missing_ok=True)


def fail_dead_runs(instance: dg.DagsterInstance) -> int:
    """Tell Dagster of the runs that it takes for running, and whose process is gone; count them.

    Their places in the pools are given back at once: a run without a daemon would wait for them for ever.
    """
    dead = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=_TAKEN_FOR_RUNNING))
        if _is_dead(_file(instance.root_directory, run.run_id))
    ]
    for run in dead:
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        instance.report_run_failed(run, _DEAD)
        _file(instance.root_directory, run.run_id).unlink(missing_ok=True)
    return len(dead)


def _is_dead(file: Path) -> bool:
    """A run that never came to hold a lock, or that has given it back at its end, is not called dead."""
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return True
    except Timeout:
        return False


def _file(home: str, run_id: str) -> Path:
    return Path(home) / _FOLDER / f"{run_id}.lock"
