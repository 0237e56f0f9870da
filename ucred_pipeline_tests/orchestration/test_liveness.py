"""Whether a run lives: its process holds a lock, and a run without a process is told to Dagster."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from ucred_pipeline.orchestration.assets import CREDITS_POOL
from ucred_pipeline.orchestration.liveness import alive, fail_dead_runs

_LIVES = """
import sys
from ucred_pipeline.orchestration.liveness import alive
with alive(sys.argv[1], sys.argv[2]):
    print("alive", flush=True)
    sys.stdin.read()
"""


@contextmanager
def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> "Iterator[subprocess.Popen[str]]":
    """Run a process that lives until it is told to end, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _LIVES, instance.root_directory, run.run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alive\n"
        yield process
        process.kill()


def started(instance: dg.DagsterInstance, status: str = "STARTED") -> dg.DagsterRun:
    """Keep a run that Dagster takes for running."""
    run = dg.DagsterRun(job_name="reconciliation", status=dg.DagsterRunStatus(status))
    instance.add_run(run)
    return run


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """What Dagster says of a run."""
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


@pytest.mark.parametrize("status", ["STARTED", "CANCELING"])
def test_a_run_whose_process_was_killed_fails(instance: dg.DagsterInstance, status: str) -> None:
    """While its process lives it is left alone, whoever started it; once it is dead Dagster is told."""
    run = started(instance, status)
    with process_of(instance, run) as process:
        assert fail_dead_runs(instance) == 0
        process.kill()
        process.wait()

        assert fail_dead_runs(instance) == 1

    assert status_of(instance, run) == "FAILURE"
    assert fail_dead_runs(instance) == 0


def test_a_run_whose_process_was_killed_gives_its_places_back(instance: dg.DagsterInstance) -> None:
    """A place in a pool that a dead run held is free at once, with no daemon that would free it."""
    run, storage = started(instance), instance.event_log_storage
    storage.set_concurrency_slots(CREDITS_POOL, 1)
    storage.claim_concurrency_slot(CREDITS_POOL, run.run_id, "corrective_credits")
    with process_of(instance, run) as process:
        process.kill()
        process.wait()
    assert storage.get_concurrency_info(CREDITS_POOL).active_slot_count == 1

    fail_dead_runs(instance)

    assert storage.get_concurrency_info(CREDITS_POOL).active_slot_count == 0


def test_a_run_without_a_lock_is_left_alone(instance: dg.DagsterInstance) -> None:
    """A run of the command, one that has not opened its resources yet, and one that has closed them."""
    run = started(instance)
    assert fail_dead_runs(instance) == 0

    with alive(instance.root_directory, run.run_id):
        pass

    assert fail_dead_runs(instance) == 0
    assert status_of(instance, run) == "STARTED"


def test_a_run_that_ended_is_left_alone(instance: dg.DagsterInstance) -> None:
    """What its process has left behind does not change how a run ended."""
    run = started(instance, "SUCCESS")
    with process_of(instance, run) as process:
        process.kill()
        process.wait()

    assert fail_dead_runs(instance) == 0
    assert status_of(instance, run) == "SUCCESS"
