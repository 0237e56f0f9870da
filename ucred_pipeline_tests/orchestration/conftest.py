"""Runs of the Dagster job in this process, on a rehearsal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import dagster as dg
import pytest

from ucred_pipeline.definitions import defs
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.runs import RECONCILIATION
from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG, today
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import load_settings
from ucred_pipeline_tests.end_to_end.conftest import rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

__all__ = ["rehearse"]
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunJob(Protocol):
    """Runs the job once on a rehearsal."""

    def __call__(
        self, world: Rehearsal, *, config: dict[str, Any] | None = None, **selection: Any
    ) -> dg.ExecuteInProcessResult:
        """Run it over all that is open and send, unless something else is asked for."""
        ...


@contextmanager
def pipeline_of(world: Rehearsal) -> Iterator[Pipeline]:
    """Open the pipeline on a rehearsal."""
    settings = load_settings(world.env_file)
    with Ledger.open(settings.ledger_url) as ledger:
        yield Pipeline(settings, ledger, world.clock)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster whose history ends with the test."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def lasting_instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster whose history is on disk, which the contexts of schedules open by themselves."""
    with dg.instance_for_test() as on_disk:
        yield on_disk


@pytest.fixture
def run_job(instance: dg.DagsterInstance) -> RunJob:
    """Run the job on the instance of the test."""

    def run(
        world: Rehearsal, *, config: dict[str, Any] | None = None, **selection: Any
    ) -> dg.ExecuteInProcessResult:
        open_now = {"partition_key": today(world.clock.now()), "tags": {SCOPE_TAG: ALL_OPEN}}
        with pipeline_of(world) as pipeline:
            return defs.resolve_job_def(RECONCILIATION).execute_in_process(
                instance=instance,
                raise_on_error=False,
                resources={"pipeline": pipeline},
                run_config=(may_send() if config is None else config) | _QUIET,
                **(selection or open_now),
            )

    return run
