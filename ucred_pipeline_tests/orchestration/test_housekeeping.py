"""The nightly job that forgets what is old, in the ledger and in Dagster's history."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ucred_pipeline.definitions import defs
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.orchestration.housekeeping import housekeeping, housekeeping_schedule
from ucred_pipeline.orchestration.jobs import SETTLE_CORRECTIONS
from ucred_pipeline.orchestration.ownership import OUR_JOBS, is_ours
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import load_settings
from ucred_pipeline_tests.conftest import FakeClock


@dg.job(name=SETTLE_CORRECTIONS)
def something() -> None:
    """A job by the name of one of ours, that does nothing."""


@dg.job
def anothers() -> None:
    """A job of others who use the same Dagster."""


def keep_house(instance: dg.DagsterInstance, ledger: Ledger, now: datetime) -> dg.ExecuteInProcessResult:
    """Run the nightly job at some time."""
    settings = load_settings(environ={})
    resources = {"pipeline": Pipeline(settings, ledger, FakeClock(now))}
    return housekeeping.execute_in_process(instance=instance, resources=resources, raise_on_error=False)


def test_old_runs_of_dagster_go_and_young_ones_stay(
    instance: dg.DagsterInstance, sqlite_ledger: Ledger
) -> None:
    """Runs of ours that were made longer ago than the setting says are deleted, and no other."""
    now = datetime.now(UTC)
    run = something.execute_in_process(instance=instance).run_id
    foreign = anothers.execute_in_process(instance=instance).run_id

    tonight = keep_house(instance, sqlite_ledger, now + timedelta(days=89))
    assert tonight.success
    assert instance.has_run(run)
    assert keep_house(instance, sqlite_ledger, now + timedelta(days=91)).success

    assert [instance.has_run(name) for name in (run, tonight.run_id, foreign)] == [False, False, True]


def test_the_jobs_that_are_ours() -> None:
    """What is told apart by name are the jobs that there are."""
    assert {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")} == OUR_JOBS


@pytest.mark.parametrize("asset, ours", [("corrective_credits", True), ("another_teams", False)])
def test_a_click_on_an_asset_is_of_whoever_has_it(asset: str, *, ours: bool) -> None:
    """Every team's clicks are runs of a job by one name: the assets tell whose they are."""
    clicked = dg.DagsterRun("__ASSET_JOB", asset_selection=frozenset({dg.AssetKey(asset)}))

    assert is_ours(clicked) is ours


def test_a_night_that_fails_shows_no_secret(instance: dg.DagsterInstance, sqlite_ledger: Ledger) -> None:
    """What went wrong is kept by Dagster without the text of a foreign error."""
    with sqlite_ledger.write() as connection:
        connection.exec_driver_sql("DROP TABLE reads")

    result = keep_house(instance, sqlite_ledger, datetime.now(UTC))

    told = "\n".join(map(repr, result.all_events))
    assert not result.success
    assert "a fault of the pipeline: OperationalError" in told
    assert "no such table" not in told


def test_it_is_asked_for_every_night() -> None:
    """The schedule runs by default."""
    assert housekeeping_schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert housekeeping_schedule.cron_schedule == "20 3 * * *"
