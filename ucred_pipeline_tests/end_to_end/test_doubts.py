"""What may or may not have had an effect is settled by evidence, and never sent again before it is."""

from datetime import timedelta

import pytest

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.sandbox import PurchaseTruth
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

DAY = timedelta(days=1)
#: Faults of an answer to a credit that took effect, and of one that did not.
AFTER = [
    ("indexer-drop-after", None),
    ("indexer-error-after", "500"),
    ("indexer-error-after", "502"),
    ("indexer-truncated", None),
    ("indexer-foreign-after", None),
]
BEFORE = [
    ("indexer-drop-before", None),
    ("indexer-error-before", "500"),
    ("indexer-error-before", "503"),
    ("indexer-foreign", None),
]


def one_lacks(rehearse: Rehearse, rules: str = "", *, logs: bool) -> tuple[Rehearsal, PurchaseTruth]:
    """A world in which one purchase lacks."""
    world = rehearse(rules, purchases=20, special_cases=False, lacking_share=0.05, logs=logs)
    (owed,) = world.sandbox.truth.to_credit.values()
    return world, owed


def runs_until_settled(world: Rehearsal, owed: PurchaseTruth) -> int:
    """Run every quarter of an hour until the purchase is credited; say how many runs it took."""
    for number in range(1, 12):
        world.later()
        world.reconcile()
        if world.verdict(owed.payment_intent)[0] == "credited":
            return number
    raise AssertionError("it was never settled")


@pytest.mark.parametrize("fault, value", AFTER)
def test_an_effect_without_an_answer_is_settled_by_the_log(
    rehearse: Rehearse, fault: str, value: str | None
) -> None:
    """A credit whose answer was lost is found in the log in the same run, and is not sent again."""
    world, owed = one_lacks(rehearse, logs=True)
    world.sandbox.faults.set(fault, value, account=owed.account, times=1)

    said = world.reconcile()

    assert (said.code, said.document["corrections"]["confirmed"]) == (0, 1)
    assert said.document["corrections"]["in_doubt"] == 0
    world.later(DAY)
    world.reconcile()
    assert world.sent() == {owed.namespace: 1}
    assert world.attempts() == {"applied": 1}


@pytest.mark.parametrize("fault, value", BEFORE)
def test_no_effect_and_no_answer_waits_for_quiescence(
    rehearse: Rehearse, fault: str, value: str | None
) -> None:
    """Where the log shows nothing, absence counts only after the quiescence; then it is sent again, once."""
    world, owed = one_lacks(rehearse, logs=True)
    world.sandbox.faults.set(fault, value, account=owed.account, times=1)
    doubtful = world.reconcile()
    assert (doubtful.code, doubtful.document["corrections"]["in_doubt"]) == (5, 1)
    assert doubtful.document["verdicts"]["in_doubt"] == 1
    (found,) = world.ucred("breaks", "--format", "json").document["breaks"]
    assert (found["kind"], found["namespace"]) == ("in_doubt", owed.namespace)

    world.later(timedelta(minutes=14))
    early = world.reconcile()
    assert (early.document["corrections"]["planned"], world.sandbox.http_credits) == (0, ())
    assert world.attempts() == {"in_doubt": 1}
    runs_until_settled(world, owed)

    assert world.sent() == {owed.namespace: 1}
    assert world.attempts() == {"resolved_not_applied": 1, "applied": 1}
    assert next(credit.memo for credit in world.sandbox.http_credits).endswith(".2")


@pytest.mark.parametrize("fault, value", AFTER[:1] + BEFORE[:1])
def test_balances_alone_settle_a_doubt_by_two_later_reads(
    rehearse: Rehearse, fault: str, value: str | None
) -> None:
    """Where nobody else writes, two reads after the quiescence settle a doubt, and one settles nothing.

    Somebody else is credited meanwhile, so that the roots do not tell.
    """
    world, owed = one_lacks(rehearse, "[evidence]\nother_writers = false\n", logs=False)
    held = world.balance(owed.account)
    world.sandbox.faults.set(fault, value, account=owed.account, times=1)
    assert world.reconcile().code == 5
    world.sandbox.purchase("credited", email="another@example.com", age=2 * DAY)

    world.later(timedelta(minutes=30))
    world.reconcile()
    assert world.attempts() == {"in_doubt": 1}
    assert world.verdict(owed.payment_intent)[0] == "in_doubt"
    runs_until_settled(world, owed)

    assert world.sent() == {owed.namespace: 1}
    assert world.balance(owed.account) == held + WEI_PER_UCRED


@pytest.mark.parametrize("fault, value", AFTER[:1] + BEFORE[:1])
def test_the_state_root_settles_a_doubt_without_a_log(
    rehearse: Rehearse, fault: str, value: str | None
) -> None:
    """Where all balances are known, roots before and after show what happened, though others may credit."""
    world, owed = one_lacks(rehearse, logs=False)
    world.sandbox.faults.set(fault, value, account=owed.account, times=1)
    assert world.reconcile().code == 5

    for _ in range(2):
        world.later(timedelta(minutes=30))
        world.reconcile()

    told = [entry.detail.get("reason") for entry in world.told() if entry.subject.startswith("attempt:")]
    assert told[2] in {"root_shows_it", "root_shows_none"}
    runs_until_settled(world, owed)
    assert world.sent() == {owed.namespace: 1}


def test_a_gift_that_is_worth_two_corrections_is_not_the_doubtful_one(rehearse: Rehearse) -> None:
    """What an account was credited before a doubt is no part of what it rose by since: a person decides."""
    world, owed = one_lacks(rehearse, logs=False)
    world.sandbox.purchase("lacking_indexer_down", email=owed.account.removeprefix("acct:user:"), age=2 * DAY)
    world.sandbox.faults.set("indexer-drop-before", account=owed.account, times=1, skip=1)
    assert world.reconcile().code == 5
    assert world.attempts() == {"applied": 1, "in_doubt": 1}
    world.sandbox.top_up(owed.account, 2 * WEI_PER_UCRED)

    for _ in range(3):
        world.later(timedelta(minutes=30))
        world.reconcile()

    assert world.attempts() == {"applied": 1, "in_doubt": 1}


def test_balances_with_other_writers_prove_only_that_nothing_came(rehearse: Rehearse) -> None:
    """Where others credit as well, a balance that did not rise shows that the credit did not happen."""
    world, owed = one_lacks(rehearse, logs=False)
    world.sandbox.faults.set("indexer-drop-before", account=owed.account, times=1)
    assert world.reconcile().code == 5

    runs_until_settled(world, owed)

    assert world.sent() == {owed.namespace: 1}


def test_a_rise_that_others_may_have_made_is_left_to_a_person(rehearse: Rehearse) -> None:
    """Where others credit as well, a balance that rose proves nothing: a person is asked after a day."""
    world, owed = one_lacks(rehearse, logs=False)
    world.sandbox.faults.set("indexer-drop-after", account=owed.account, times=1)
    assert world.reconcile().code == 5
    world.sandbox.purchase("credited", email="another@example.com", age=2 * DAY)
    for _ in range(3):
        world.later()
        assert world.reconcile().document["corrections"]["planned"] == 0
    assert world.verdict(owed.payment_intent)[0] == "in_doubt"

    world.later(DAY)
    world.reconcile()

    assert world.corrections() == {"quarantined": 1}
    assert world.verdict(owed.payment_intent)[0] == "in_doubt"
    assert world.sent() == {owed.namespace: 1}


def test_a_slow_answer_is_waited_for(rehearse: Rehearse) -> None:
    """An answer that takes longer than a read may take is awaited, and is no doubt."""
    world, owed = one_lacks(rehearse, "[indexer]\ntimeout_s = 1\n", logs=False)
    world.sandbox.faults.set("indexer-slow-answer", "1.5", account=owed.account, times=1)

    assert world.reconcile().code == 0
    assert world.attempts() == {"applied": 1}


def test_an_answer_that_is_too_slow_is_a_doubt(rehearse: Rehearse) -> None:
    """An answer that does not come in time is a doubt, although the credit took effect; the log tells."""
    rules = "[indexer]\ncredit_timeout_s = 1\n"
    world, owed = one_lacks(rehearse, rules, logs=True)
    world.sandbox.faults.set("indexer-slow-answer", "2", account=owed.account, times=1)

    said = world.reconcile()

    assert (said.code, world.sent()) == (0, {owed.namespace: 1})
    told = [entry.detail.get("reason") for entry in world.told() if entry.subject.startswith("attempt:")]
    assert told == [None, "no_answer", "log_names_the_attempt"]


def test_an_account_in_doubt_waits(rehearse: Rehearse) -> None:
    """While one correction of an account is in doubt, the other purchases of the account wait."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0)
    for age in (2, 3):
        world.sandbox.purchase("lacking_restarted", email="two@example.com", age=age * DAY)
    world.sandbox.faults.set("indexer-drop-before", account="acct:user:two@example.com", times=1)

    said = world.reconcile()

    assert said.code == 5
    assert (said.document["corrections"]["in_doubt"], said.document["corrections"]["held"]) == (1, 1)
    assert world.sandbox.http_credits == ()
    for _ in range(4):
        world.later()
        world.reconcile()
    assert world.sent() == world.owed()


def test_three_doubts_in_a_row_open_the_breaker(rehearse: Rehearse) -> None:
    """Three doubts in a row end the run; after three such runs nothing is sent until a person releases it."""
    world = rehearse(
        "[indexer]\nparallel_accounts = 1\n", purchases=120, special_cases=False, lacking_share=0.2
    )
    owed = world.owed()
    for truth in world.sandbox.truth.to_credit.values():
        world.sandbox.faults.set("indexer-drop-before", account=truth.account)
    first = world.reconcile()
    assert (first.code, first.document["corrections"]["in_doubt"]) == (4, 3)
    assert first.document["corrections"]["held"] == len(owed) - 3
    assert "breaker" in first.document["hold"]
    for _ in range(2):
        world.later(timedelta(minutes=5))
        assert world.reconcile().code == 4
    world.later(timedelta(minutes=5))
    held = world.reconcile()
    assert (held.code, held.document["hold"]) == (4, "breaker")
    assert world.attempts() == {"in_doubt": 9}

    world.sandbox.faults.clear()
    said = world.ucred("release", "--reason", "the proxy is repaired", "--by", "Ida")
    assert (said.code, "breaker" in said.out) == (0, True)
    for _ in range(3):
        world.later()
        last = world.reconcile()

    assert (last.code, world.sent()) == (0, owed)


def test_a_429_ends_the_run(rehearse: Rehearse) -> None:
    """An indexer that asks to slow down is obeyed: the run ends, and later runs do the rest, each once."""
    rules = "[indexer]\nparallel_accounts = 1\nanswers_429_before_the_effect = true\n"
    world = rehearse(rules, purchases=60, special_cases=False, lacking_share=0.2)
    world.sandbox.faults.set("indexer-admin-limit", "10")

    first = world.reconcile()

    assert first.code == 4
    # One of the ten proves the token.
    assert first.document["corrections"]["confirmed"] == 9
    for _ in range(3):
        world.later()
        world.reconcile()
    assert world.sent() == world.owed()


def test_every_fault_at_once(rehearse: Rehearse) -> None:
    """With every fault now and then, runs in a row credit everything that is owed, and nothing twice."""
    world = rehearse(purchases=120, special_cases=False, lacking_share=0.15)
    owed = world.owed()
    for name in sorted({name for name, _ in (*AFTER, *BEFORE)}):
        world.sandbox.faults.set(name, probability=0.12)
    for _ in range(6):
        world.reconcile()
        assert max(world.sent().values()) == 1
        world.later(timedelta(minutes=20))
    world.sandbox.faults.clear()
    world.ucred("release", "--reason", "no more faults", "--by", "Ida")

    for _ in range(3):
        world.later(timedelta(minutes=40))
        world.reconcile()

    assert world.sent() == owed
