"""The nightly job that forgets what is old, in the ledger and in Dagster's history."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.orchestration.housekeeping import housekeeping, housekeeping_schedule
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import load_settings
from ucred_pipeline_tests.conftest import FakeClock


@dg.job
def something() -> None:
    """A job that does nothing."""


def keep_house(instance: dg.DagsterInstance, ledger: Ledger, now: datetime) -> str:
    """Run the nightly job at some time; give its run's id."""
    settings = load_settings(environ={})
    resources = {"pipeline": Pipeline(settings, ledger, FakeClock(now))}
    result = housekeeping.execute_in_process(instance=instance, resources=resources)
    assert result.success
    return result.run_id


def test_old_runs_of_dagster_go_and_young_ones_stay(
    instance: dg.DagsterInstance, sqlite_ledger: Ledger
) -> None:
    """Runs that were made longer ago than the setting says are deleted, and no other."""
    now = datetime.now(UTC)
    run = something.execute_in_process(instance=instance).run_id

    tonight = keep_house(instance, sqlite_ledger, now + timedelta(days=89))
    assert instance.has_run(run)
    keep_house(instance, sqlite_ledger, now + timedelta(days=91))

    assert [instance.has_run(name) for name in (run, tonight)] == [False, False]


def test_it_is_asked_for_every_night() -> None:
    """The schedule runs by default."""
    assert housekeeping_schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert housekeeping_schedule.cron_schedule == "20 3 * * *"
