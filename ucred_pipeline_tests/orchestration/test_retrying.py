"""The retry queue: it settles doubts and sends again between reconciliations, through every guard."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import dagster as dg
import pytest

from ucred_pipeline.definitions import defs
from ucred_pipeline.ledger.runs import find_run, last_run
from ucred_pipeline.ledger.safety import HoldKind, Signed, raise_hold
from ucred_pipeline.orchestration.jobs import SETTLE_CORRECTIONS, may_retry
from ucred_pipeline.orchestration.retrying import Retried, settle_and_retry, turn_of_the_queue
from ucred_pipeline.sandbox import PurchaseTruth
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.conftest import pipeline_of

A_MINUTE: Final = timedelta(minutes=1)
QUIESCENCE: Final = timedelta(seconds=920)
#: A 429 is known to come before the effect: then it is a failure, and no doubt.
KNOWN_429: Final = "[indexer]\nanswers_429_before_the_effect = true\n[corrections]\nattempts = 2\n"
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

OneLacks = Callable[..., tuple[Rehearsal, PurchaseTruth]]


@pytest.fixture
def one_lacks(rehearse: Rehearse) -> OneLacks:
    """Start a world in which one purchase lacks."""

    def start(rules: str = "", *, logs: bool = True) -> tuple[Rehearsal, PurchaseTruth]:
        world = rehearse(rules, purchases=20, special_cases=False, lacking_share=0.05, logs=logs)
        (owed,) = world.sandbox.truth.to_credit.values()
        return world, owed

    return start


def retry(world: Rehearsal, *, apply: bool = True) -> Retried:
    """Run the queue once."""
    with pipeline_of(world) as pipeline:
        return settle_and_retry(pipeline, f"queue {world.clock.now()}", apply=apply)


def turn(world: Rehearsal) -> str | None:
    """Whose turn it is."""
    with pipeline_of(world) as pipeline:
        return turn_of_the_queue(pipeline)


def refuse_once(world: Rehearsal, owed: PurchaseTruth) -> None:
    """Let a reconciliation meet a 429, which had no effect."""
    world.sandbox.faults.set("indexer-error-before", "429", account=owed.account, times=1)
    world.reconcile()
    assert world.corrections() == {"planned": 1}


def test_a_failure_is_sent_again_when_its_wait_is_over(one_lacks: OneLacks) -> None:
    """Not before, once, and under a new number; the queue is empty after it."""
    world, owed = one_lacks(KNOWN_429)
    refuse_once(world, owed)
    assert turn(world) is None
    assert retry(world).credited.planned == 0

    world.later(A_MINUTE)
    name = turn(world)
    assert name is not None
    assert name.endswith(".1/1")
    retried = retry(world)

    assert (retried.credited.confirmed, retried.queue.size) == (1, 0)
    assert world.sent() == {owed.namespace: 1}
    assert world.verdict(owed.payment_intent)[0] == "credited"
    assert turn(world) is None


def test_the_last_attempt_asks_a_person(one_lacks: OneLacks) -> None:
    """After as many as the settings allow the purchase still lacks, and goes again when a person says so."""
    world, owed = one_lacks(KNOWN_429)
    refuse_once(world, owed)
    world.later(A_MINUTE)
    world.sandbox.faults.set("indexer-error-before", "429", account=owed.account, times=1)

    assert retry(world).credited.refused == 1

    assert world.corrections() == {"refused": 1}
    assert turn(world) is None
    world.later()
    assert world.reconcile().document["corrections"]["planned"] == 0
    (found,) = world.ucred("breaks", "--kind", "lacking", "--format", "json").document["breaks"]
    assert "every attempt failed" in world.ucred("explain", owed.payment_intent).out
    signed = ("--reason", "the proxy is gone", "--by", "ada")
    assert world.ucred("resolve", found["id"], "--as", "not-credited", *signed).code == 0
    world.reconcile()
    assert world.sent() == {owed.namespace: 1}


def test_a_doubt_is_settled_between_the_reconciliations(one_lacks: OneLacks) -> None:
    """Without logs the queue's run reads the balance twice, and sends what did not arrive in the same run."""
    world, owed = one_lacks(logs=False)
    world.sandbox.faults.set("indexer-drop-before", account=owed.account, times=1)
    world.reconcile()
    assert turn(world) is None
    world.later(QUIESCENCE)
    assert str(turn(world)).endswith(".1/1")

    first = retry(world)
    world.later(A_MINUTE)
    assert str(turn(world)).endswith(".1/2")
    second = retry(world)

    assert (first.settled.not_applied, second.settled.not_applied) in {(1, 0), (0, 1)}
    assert world.sent() == {owed.namespace: 1}
    assert world.verdict(owed.payment_intent)[0] == "credited"


def test_a_turn_comes_again_after_twice_the_time(one_lacks: OneLacks) -> None:
    """The name of the newest turn changes after one minute, two, four and so on, and never else."""
    world, owed = one_lacks(KNOWN_429)
    refuse_once(world, owed)
    turns = []
    for _ in range(33):
        world.later(A_MINUTE / 2)
        if (found := turn(world)) is not None and found not in turns:
            turns.append(found)

    assert [int(found.rpartition("/")[2]) for found in turns] == [1, 2, 3, 4, 5][: len(turns)]
    assert 4 <= len(turns) <= 5


def test_only_what_was_tried_is_sent_again(one_lacks: OneLacks) -> None:
    """A purchase that was never tried waits for a reconciliation, which reads everything first."""
    world, owed = one_lacks(KNOWN_429)
    refuse_once(world, owed)
    fresh = world.sandbox.purchase("lacking_indexer_down", email="fresh@example.com", age=timedelta(hours=2))
    world.later(A_MINUTE)

    retry(world)

    assert world.sent() == {owed.namespace: 1}
    assert fresh not in world.judged()


def test_without_being_asked_to_nothing_is_sent(one_lacks: OneLacks) -> None:
    """A run that may not send says what it would send."""
    world, owed = one_lacks(KNOWN_429)
    refuse_once(world, owed)
    world.later(A_MINUTE)

    assert retry(world, apply=False).credited.planned == 1
    assert world.sandbox.http_credits == ()


@pytest.mark.parametrize("guard", ["hold", "stale", "forgot"])
def test_the_guards_of_crediting_hold_for_the_queue(one_lacks: OneLacks, guard: str) -> None:
    """A hold, reads that are too old, an indexer that forgot: nothing is sent."""
    world, owed = one_lacks(KNOWN_429)
    refuse_once(world, owed)
    world.later(A_MINUTE)
    if guard == "hold":
        with world.ledger() as ledger, ledger.write() as connection:
            raise_hold(connection, HoldKind.PERSON, Signed("ada", world.clock.now(), "a test"))
        assert turn(world) is None
    elif guard == "stale":
        world.later(timedelta(hours=2))
    else:
        world.sandbox.restart_indexer()

    retried = retry(world)

    assert (
        retried.credited.hold
        == {
            "hold": "person",
            "stale": "sources_stale",
            "forgot": "indexer_forgot",
        }[guard]
    )
    assert world.sandbox.http_credits == ()


def test_the_job(one_lacks: OneLacks) -> None:
    """Its run is kept beside the reconciliations, which stay the last run, and tells Dagster of the queue."""
    world, owed = one_lacks(KNOWN_429)
    refuse_once(world, owed)
    world.later(A_MINUTE)

    with pipeline_of(world) as pipeline, dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def(SETTLE_CORRECTIONS).execute_in_process(
            instance=instance, resources={"pipeline": pipeline}, run_config=may_retry() | _QUIET
        )
        with pipeline.ledger.read() as connection:
            run, last = find_run(connection, result.run_id), last_run(connection, pipeline.clock.now())

    assert world.sent() == {owed.namespace: 1}
    assert run is not None
    assert (run.job, run.outcome, run.summary["corrections"]["confirmed"]) == (SETTLE_CORRECTIONS, "done", 1)
    assert last is not None
    assert last.id != run.id
    (seen,) = [event for event in result.all_events if event.is_asset_observation]
    told = seen.asset_observation_data.asset_observation.metadata
    assert (told["confirmed"].value, told["retry_queue"].value) == (1, 0)


def test_a_queue_whose_source_fails(one_lacks: OneLacks) -> None:
    """The run fails, keeps why, and shows nobody a secret."""
    world, owed = one_lacks(f"{KNOWN_429}[stripe]\nattempts = 1\n")
    refuse_once(world, owed)
    world.sandbox.faults.set("indexer-refuse")

    with pipeline_of(world) as pipeline, dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def(SETTLE_CORRECTIONS).execute_in_process(
            instance=instance,
            resources={"pipeline": pipeline},
            run_config=may_retry() | _QUIET,
            raise_on_error=False,
        )
        with pipeline.ledger.read() as connection:
            run = find_run(connection, result.run_id)

    assert not result.success
    assert run is not None
    assert run.outcome == "source_unreadable"
    assert world.secrets_in("\n".join(repr(event) for event in result.all_events)) == []
