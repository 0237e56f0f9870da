"""Backfills: under the limits, resumable, planned first; and the crediting asset alone, by a click."""

from datetime import timedelta
from typing import Any, Final

import dagster as dg
import pytest

from ucred_pipeline.orchestration.assets import ASSETS
from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.orchestration.partitions import SCOPE_TAG, today
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.conftest import RunJob, pipeline_of
from ucred_pipeline_tests.orchestration.test_job import day_of, materialized, outcomes, told
from ucred_pipeline_tests.orchestration.webserver import RANGE

A_DAY: Final = timedelta(days=1, minutes=1)


def lacking(rehearse: Rehearse, rules: str = "", *, share: float = 0.24) -> Rehearsal:
    """A world in which a share of the purchases lacks."""
    return rehearse(rules, purchases=25, special_cases=False, lacking_share=share)


def owed_days(world: Rehearsal) -> list[str]:
    """The days on which something lacks, oldest first."""
    return sorted({day_of(world, name) for name in world.sandbox.truth.to_credit})


def click(world: Rehearsal) -> dict[str, object]:
    """Let somebody start the crediting asset alone, for all days, with leave to send."""
    days = owed_days(world)
    with pipeline_of(world) as pipeline:
        result = dg.materialize(
            ASSETS,
            selection=dg.AssetSelection.assets("corrective_credits"),
            resources={"pipeline": pipeline},
            run_config=may_send(),
            tags=dict(zip(RANGE, (days[0], days[-1]), strict=True)),
        )
    assert materialized(result) == {"corrective_credits"}
    return told(result, "corrective_credits")


def test_the_limits_hold_over_a_backfill_which_goes_on_later(rehearse: Rehearse, run_job: RunJob) -> None:
    """Day by day, no more is sent in 24 hours than the limit; the days that it stopped run again later."""
    world = lacking(rehearse, '[limits]\nucred_per_day = "3"\n')
    days = owed_days(world)
    assert len(world.owed()) > 3

    first = {day: run_job(world, partition_key=day) for day in days}

    stopped = [day for day, result in first.items() if not result.success]
    assert sum(world.sent().values()) == 3
    assert stopped
    assert all(not outcomes(first[day])["purchases_lacking_ucred.plan_within_limits"] for day in stopped)
    while stopped:
        before = sum(world.sent().values())
        world.later(A_DAY)
        again = {day: run_job(world, partition_key=day) for day in stopped}
        assert 0 < sum(world.sent().values()) - before <= 3
        stopped = [day for day, result in again.items() if not result.success]
    assert world.sent() == world.owed()


def test_a_historical_backfill_is_planned_approved_and_applied(rehearse: Rehearse, run_job: RunJob) -> None:
    """The runbook's recipe in Dagster: a plan of the range, its hash approved, the credits, the check."""
    world = lacking(rehearse, share=0.6)
    days = owed_days(world)
    launch: dict[str, Any] = {
        "partition_key": today(world.clock.now()),
        "tags": {SCOPE_TAG: f"{days[0]}..{days[-1]}"},
    }

    plan = run_job(world, config={}, **launch)

    assert not plan.success
    assert told(plan, "purchases_lacking_ucred")["dagster/row_count"] == len(world.owed())
    assert world.sandbox.http_credits == ()
    name = str(told(plan, "purchases_lacking_ucred")["plan"])
    assert world.ucred("approve", name[:12], "--by", "ada").code == 0

    assert run_job(world, **launch).success

    assert world.sent() == world.owed()
    verified = run_job(world, config={}, **launch)
    assert told(verified, "purchases_lacking_ucred")["plan"] == "nothing to plan"


def test_an_approved_plan_is_carried_out_by_the_schedule(rehearse: Rehearse, run_job: RunJob) -> None:
    """Whoever planned it, the next run that may send carries an approved plan out, whole."""
    world = lacking(rehearse, share=0.6)
    days = owed_days(world)
    plan = run_job(world, config={}, tags=dict(zip(RANGE, (days[0], days[-1]), strict=True)))
    name = str(told(plan, "purchases_lacking_ucred")["plan"])
    world.ucred("approve", name[:12], "--by", "ada")

    assert run_job(world).success

    assert world.sent() == world.owed()


@pytest.mark.parametrize("cause", ["over a limit", "never read", "a source failed", "the indexer forgot"])
def test_a_click_is_stopped_by_what_blocks_a_run(rehearse: Rehearse, run_job: RunJob, cause: str) -> None:
    """The crediting asset alone sends nothing where a check of another asset would have stopped the run."""
    rules = "[stripe]\nattempts = 1\n[indexer]\nattempts = 1\n"
    world = lacking(rehearse, rules, share=0.6 if cause == "over a limit" else 0.1)
    if cause == "over a limit":
        assert not run_job(world, config={}).success
    elif cause == "a source failed":
        assert run_job(world, config={}).success
        world.later()
        world.sandbox.faults.set("stripe-unauthorized")
        assert not run_job(world, config={}).success
    elif cause == "the indexer forgot":
        assert run_job(world, config={}).success
        world.sandbox.restart_indexer()

    found = click(world)

    assert world.sandbox.http_credits == ()
    assert found["confirmed"] == 0
    assert (
        found["hold"]
        == {
            "over a limit": "over_lacking_share",
            "never read": "sources_stale",
            "a source failed": "sources_stale",
            "the indexer forgot": "indexer_forgot",
        }[cause]
    )
