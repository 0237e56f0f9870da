"""The schedule heals: all that is open each quarter of an hour, and the days that an outage skipped."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
import pytest

from ucred_pipeline.definitions import defs
from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG

NOW: Final = datetime(2026, 2, 3, 0, 15, tzinfo=UTC)
TODAY: Final = "2026-02-03"
FORTNIGHT: Final = [f"{NOW - timedelta(days=back):%Y-%m-%d}" for back in range(14, 0, -1)]


def made(instance: dg.DagsterInstance, days: Iterable[str]) -> None:
    """Keep that a run has planned for some days."""
    for day in days:
        event = dg.AssetMaterialization("purchases_lacking_ucred", partition=day)
        instance.report_runless_asset_event(event)


def under_way(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: Mapping[str, str], job: str
) -> None:
    """Keep a run as Dagster would."""
    instance.add_run(dg.DagsterRun(job_name=job, status=status, tags=tags))


def requests(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """What the schedule asks for now."""
    schedule = defs.resolve_schedule_def("reconciliation_schedule")
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=NOW, repository_def=defs.get_repository_def()
    ) as context:
        return list(schedule.evaluate_tick(context).run_requests or [])


def days(found: Iterable[dg.RunRequest]) -> list[str]:
    """The days that are asked for, besides all that is open."""
    return [str(one.partition_key) for one in found if SCOPE_TAG not in one.tags]


def test_the_present_comes_first(lasting_instance: dg.DagsterInstance) -> None:
    """Until a run of today came through only that is asked for: an outage costs one run a tick."""
    (request,) = requests(lasting_instance)

    assert (request.partition_key, request.tags[SCOPE_TAG]) == (TODAY, ALL_OPEN)
    assert request.run_config == may_send()


def test_skipped_days_are_asked_for_oldest_first(lasting_instance: dg.DagsterInstance) -> None:
    """At most a dozen a tick, the rest by the next; each is a run that may send."""
    made(lasting_instance, [TODAY])

    found = requests(lasting_instance)

    assert days(found) == FORTNIGHT[:12]
    assert {one.run_key for one in found} == {ALL_OPEN, *FORTNIGHT[:12]}
    assert all(one.run_config == may_send() for one in found)
    made(lasting_instance, FORTNIGHT[:12])
    assert days(requests(lasting_instance)) == FORTNIGHT[12:]
    made(lasting_instance, FORTNIGHT[12:])
    assert days(requests(lasting_instance)) == []


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
@pytest.mark.parametrize("job", ["reconciliation", "__ASSET_JOB"])
def test_no_day_is_asked_for_twice(lasting_instance: dg.DagsterInstance, status: str, job: str) -> None:
    """A day that is queued or running, alone or in a range of a backfill, is not asked for again."""
    made(lasting_instance, [TODAY])
    state = dg.DagsterRunStatus(status)
    under_way(lasting_instance, state, {"dagster/partition": FORTNIGHT[0]}, job)
    bounds = {
        "dagster/asset_partition_range_start": FORTNIGHT[2],
        "dagster/asset_partition_range_end": FORTNIGHT[4],
    }
    under_way(lasting_instance, state, bounds, job)

    assert days(requests(lasting_instance)) == [FORTNIGHT[1], *FORTNIGHT[5:]]


def test_a_day_whose_run_failed_is_asked_for_again(lasting_instance: dg.DagsterInstance) -> None:
    """Only a run that has planned for the day is enough."""
    made(lasting_instance, [TODAY, *FORTNIGHT[1:]])
    under_way(
        lasting_instance, dg.DagsterRunStatus.FAILURE, {"dagster/partition": FORTNIGHT[0]}, "reconciliation"
    )

    assert days(requests(lasting_instance)) == FORTNIGHT[:1]


@pytest.mark.parametrize("status, asked", [("NOT_STARTED", False), ("STARTED", True)])
def test_all_that_is_open_waits_once(lasting_instance: dg.DagsterInstance, status: str, asked: bool) -> None:  # noqa: FBT001
    """While such a run waits no second one is asked for; one that runs may have read too early."""
    tags = {SCOPE_TAG: ALL_OPEN, "dagster/partition": TODAY}
    under_way(lasting_instance, dg.DagsterRunStatus(status), tags, "reconciliation")

    assert (ALL_OPEN in {one.run_key for one in requests(lasting_instance)}) is asked


def test_what_runs_now_goes_before_a_year_of_days(lasting_instance: dg.DagsterInstance) -> None:
    """The run over all that is open, and the retry queue, are first in Dagster's queue."""
    made(lasting_instance, [TODAY])
    first, *others = requests(lasting_instance)

    assert first.tags["dagster/priority"] == "10"
    assert defs.resolve_job_def("settle_corrections").tags["dagster/priority"] == "10"
    assert all("dagster/priority" not in one.tags for one in others)
