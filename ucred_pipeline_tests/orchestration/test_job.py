"""The job as Dagster sees it: checks and what they stop, metadata, and ranges of days."""

from collections.abc import Iterable
from datetime import UTC, timedelta

import dagster as dg
import pytest

from ucred_pipeline.orchestration.partitions import SCOPE_TAG, today
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.conftest import RunJob

HASTY = "[stripe]\nattempts = 1\n[indexer]\nattempts = 1\n"
#: What each asset says at least of a run.
TOLD = {
    "stripe_payments": {"dagster/row_count", "changed", "seconds"},
    "issuance_records": {"dagster/row_count", "changed", "seconds"},
    "indexer_balances": {"dagster/row_count", "changed", "build", "remembers"},
    "mint_evidence": {"dagster/row_count", "proof", "indexer_log_lines", "payments_log_lines"},
    "purchases": {"dagster/row_count", "judged", "changed", "credited", "lacking", "open_breaks"},
    "purchases_lacking_ucred": {"dagster/row_count", "ucred", "plan", "lacking"},
    "corrective_credits": {"planned", "confirmed", "refused", "in_doubt", "held", "hold"},
    "mint_metrics": {"minted", "owed_in_window", "covered", "owed"},
}


@pytest.fixture
def special(rehearse: Rehearse) -> Rehearsal:
    """A world of two hundred purchases with every case."""
    return rehearse()


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Whether each check passed, by asset and name."""
    return {
        f"{found.asset_key.to_user_string()}.{found.check_name}": found.passed
        for found in result.get_asset_check_evaluations()
    }


def told(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """What an asset said of a run."""
    *_, newest = result.asset_materializations_for_node(asset)
    return {name: entry.value for name, entry in newest.metadata.items()}


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    """The assets that a run has made."""
    events = result.all_events
    made = (event.asset_key for event in events if event.is_step_materialization)
    return {key.to_user_string() for key in made if key}


def texts(events: Iterable[dg.DagsterEvent]) -> str:
    """All that Dagster was given to keep."""
    return "\n".join(repr(event) for event in events)


def test_a_run_that_credits(special: Rehearsal, run_job: RunJob) -> None:
    """A run credits what is owed, and every asset says what it found, with counts and without an address."""
    owed = special.owed()

    result = run_job(special)

    assert result.success
    assert special.sent() == owed
    assert materialized(result) == set(TOLD)
    for asset, names in TOLD.items():
        assert names <= set(told(result, asset))
    assert told(result, "corrective_credits")["confirmed"] == len(owed)
    assert told(result, "stripe_payments")["dagster/row_count"] == len(special.sandbox.world.stripe.intents)
    assert "@" not in "".join(str(value) for asset in TOLD for value in told(result, asset).values())
    assert special.secrets_in(texts(result.all_events)) == []


def test_the_tables_have_at_most_twenty_rows(special: Rehearsal, run_job: RunJob) -> None:
    """The tables of an asset name twenty breaks at most, and say how many more there are."""
    result = run_job(special)

    table = str(told(result, "purchases")["open_breaks"])
    assert sum(line.startswith("| brk_") for line in table.splitlines()) == 20
    assert "20 more" in table


def test_the_checks_of_a_run(special: Rehearsal, run_job: RunJob) -> None:
    """A run over every case passes the checks of the sources, and turns those that have something to tell."""
    result = run_job(special)

    assert {name for name, passed in outcomes(result).items() if not passed} == {
        "mint_metrics.mint_success_rate",
        "mint_metrics.mint_latency",
        "mint_metrics.over_credits",
    }
    assert len(outcomes(result)) == 12


def test_without_a_configuration_nothing_is_sent(special: Rehearsal, run_job: RunJob) -> None:
    """A run that was not told that it may send plans only."""
    result = run_job(special, config={})

    assert result.success
    assert told(result, "corrective_credits")["planned"] == len(special.owed())
    assert special.sandbox.http_credits == ()


def test_a_plan_over_the_limits_blocks_the_credits(rehearse: Rehearse, run_job: RunJob) -> None:
    """The check of the limits fails, says by how much, and stops the run before the crediting asset."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.4)

    result = run_job(world)

    assert not result.success
    assert not outcomes(result)["purchases_lacking_ucred.plan_within_limits"]
    assert materialized(result) == set(TOLD) - {"corrective_credits", "mint_metrics"}
    (found,) = (one for one in result.get_asset_check_evaluations() if one.check_name == "plan_within_limits")
    assert found.metadata["over"].value == "over_lacking_share"
    assert world.sandbox.http_credits == ()


@pytest.mark.parametrize(
    "fault, asset",
    [
        ("stripe-unauthorized", "stripe_payments"),
        ("indexer-read-error", "indexer_balances"),
    ],
)
def test_a_source_that_fails(rehearse: Rehearse, run_job: RunJob, fault: str, asset: str) -> None:
    """The check of the source fails, the run fails, nothing after it is made, and no secret is kept."""
    world = rehearse(HASTY)
    world.sandbox.faults.set(fault)

    result = run_job(world)

    assert not result.success
    assert outcomes(result)[f"{asset}.read_whole"] is False
    assert materialized(result).isdisjoint({asset, "purchases", "corrective_credits"})
    assert world.secrets_in(texts(result.all_events)) == []


def test_a_range_that_a_person_mistyped(special: Rehearsal, run_job: RunJob) -> None:
    """It says how a range is written, and nothing is read."""
    tags = {SCOPE_TAG: "2025-01-01 to 2025-12-31"}

    result = run_job(special, partition_key=today(special.clock.now()), tags=tags)

    assert not result.success
    assert materialized(result) == set()
    assert "write `open`, or a range as 2025-01-01..2025-12-31" in texts(result.all_events)


def test_an_indexer_that_forgot(rehearse: Rehearse, run_job: RunJob) -> None:
    """The check of the indexer's memory fails after a restart, and nothing is sent."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1)
    assert outcomes(run_job(world))["indexer_balances.indexer_remembers"]
    sent = world.sent()
    world.sandbox.restart_indexer()
    world.later()

    result = run_job(world)

    assert not outcomes(result)["indexer_balances.indexer_remembers"]
    assert told(result, "corrective_credits")["hold"] == "indexer_forgot"
    assert world.sent() == sent


def test_a_range_of_days(special: Rehearsal, run_job: RunJob) -> None:
    """A range of days, as a backfill asks for it, credits what lacks on those days alone."""
    days = sorted(day_of(special, name) for name in special.sandbox.truth.to_credit)
    since, until = days[len(days) // 2], days[len(days) // 2 + 3]
    wanted = {
        truth.namespace
        for name, truth in special.sandbox.truth.to_credit.items()
        if since <= day_of(special, name) <= until
    }

    result = run_job(
        special,
        tags={"dagster/asset_partition_range_start": since, "dagster/asset_partition_range_end": until},
    )

    assert result.success
    assert set(special.sent()) == wanted
    assert 0 < len(wanted) < len(special.owed())


def test_one_day(special: Rehearsal, run_job: RunJob) -> None:
    """A run of one partition credits what lacks on that UTC day alone."""
    chosen = next(iter(special.sandbox.truth.to_credit))
    day = day_of(special, chosen)

    assert run_job(special, partition_key=day).success

    names = special.sandbox.truth.to_credit
    assert set(special.sent()) == {names[name].namespace for name in names if day_of(special, name) == day}


def test_the_days_that_a_run_judged(
    special: Rehearsal, run_job: RunJob, instance: dg.DagsterInstance
) -> None:
    """A first run over all that is open marks every day on which it judged something."""
    run_job(special)

    marked = instance.get_materialized_partitions(dg.AssetKey("purchases"))
    assert {day_of(special, name) for name in special.judged()} <= marked


def day_of(world: Rehearsal, payment_intent: str) -> str:
    """The UTC day on which a payment was created."""
    return f"{world.sandbox.world.purchases[payment_intent].created.astimezone(UTC):%Y-%m-%d}"


def test_doubts_turn_the_checks(rehearse: Rehearse, run_job: RunJob) -> None:
    """A doubt that nothing settles in a day turns its check; a few that wait do not turn the queue's."""
    world = rehearse(purchases=20, special_cases=False, lacking_share=0.05, logs=False)
    (owed,) = world.sandbox.truth.to_credit.values()
    world.sandbox.faults.set("indexer-drop-after", account=owed.account, times=1)
    first = outcomes(run_job(world))
    world.sandbox.purchase("credited", email="another@example.com", age=timedelta(days=2))
    world.later(timedelta(hours=25))

    second = outcomes(run_job(world))

    assert (first["mint_metrics.doubts_by_age"], second["mint_metrics.doubts_by_age"]) == (True, False)
    assert second["mint_metrics.retry_queue"]
