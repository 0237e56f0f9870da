"""What happens between two runs, and between a plan and its being carried out, is taken into account."""

from datetime import timedelta

import pytest

from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def special(rehearse: Rehearse) -> Rehearsal:
    """A world of two hundred purchases with every case, in which one run was made."""
    world = rehearse()
    assert world.reconcile().code == 0
    return world


def test_a_payment_that_succeeds_nine_days_after_it_was_created(special: Rehearsal) -> None:
    """A payment that was open for days is found when it succeeds; its purchase is credited when it lacks."""
    (waiting,) = special.sandbox.truth.of_case("processing")
    assert waiting.payment_intent not in special.judged()

    special.later(DAY)
    special.sandbox.succeed(waiting.payment_intent)
    special.sandbox.issue(waiting.payment_intent)
    special.later()
    young = special.reconcile()
    assert (young.code, special.verdict(waiting.payment_intent)) == (0, ("pending", "within_grace"))
    special.later(HOUR)
    credited = special.reconcile()

    created = special.judged()[waiting.payment_intent].created
    assert special.clock.now() - created > 9 * DAY
    assert (credited.code, special.sent()) == (0, special.owed())
    assert special.sent()[waiting.namespace or ""] == 1


def test_an_issuance_that_appears(special: Rehearsal) -> None:
    """A purchase that was unissued, and is issued between two runs without a credit, is credited once."""
    (waiting,) = special.sandbox.truth.of_case("unissued_placeholder")
    assert special.verdict(waiting.payment_intent) == ("unissued", "no_certificate")

    special.sandbox.issue(waiting.payment_intent)
    special.later(HOUR)
    special.reconcile()
    special.later()
    special.reconcile()

    assert special.sent() == special.owed()
    assert special.sent()[waiting.namespace or ""] == 1


def test_an_issuance_that_appears_and_is_credited(special: Rehearsal) -> None:
    """A purchase that the payments API issues and credits late is credited, and nothing is sent."""
    (waiting,) = special.sandbox.truth.of_case("unissued_without_row")

    special.sandbox.issue(waiting.payment_intent, credited=True)
    special.later(HOUR)
    special.reconcile()

    assert special.verdict(waiting.payment_intent) == ("credited", "log_line")
    assert special.sent() == special.owed()
    assert waiting.namespace not in special.sent()


@pytest.mark.parametrize("what", ["refund", "dispute"])
@pytest.mark.parametrize("logs", [True, False])
def test_money_given_back_between_plan_and_credit(rehearse: Rehearse, what: str, *, logs: bool) -> None:
    """What is refunded or disputed after it was planned is not credited by the run that credits the rest."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1, logs=logs)
    assert world.reconcile(apply=False).document["corrections"]["planned"] == 4
    world.later()
    changed = next(iter(world.sandbox.truth.to_credit.values()))
    getattr(world.sandbox, what)(changed.payment_intent)
    world.later()

    said = world.reconcile()

    assert (said.code, said.document["corrections"]["confirmed"]) == (0, 3)
    assert changed.namespace not in world.sent()
    assert world.verdict(changed.payment_intent)[0] == "withdrawn"


def test_a_refund_between_approval_and_credit(rehearse: Rehearse) -> None:
    """An approval does not credit what was refunded since."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.4)
    plan = world.reconcile().document["plan"]
    assert world.ucred("approve", plan, "--by", "Ida").code == 0
    refunded = next(iter(world.sandbox.truth.to_credit.values()))
    world.sandbox.refund(refunded.payment_intent)
    world.later()

    assert world.reconcile().code == 0

    assert refunded.namespace not in world.sent()
    assert world.sent() == world.owed()


def test_a_dispute_that_is_won(rehearse: Rehearse) -> None:
    """While a dispute is open nothing is sent; once it is won the purchase is owed, and credited once."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0)
    bought = world.sandbox.purchase("lacking_unconfigured", age=DAY)
    world.sandbox.dispute(bought)
    assert world.reconcile().document["corrections"]["planned"] == 0
    world.later()

    world.sandbox.dispute(bought, "won")
    world.later()
    assert world.reconcile().document["corrections"]["confirmed"] == 1
    world.later()

    assert world.reconcile().document["corrections"]["planned"] == 0
    assert sum(world.sent().values()) == 1


def test_a_refund_after_the_credit(rehearse: Rehearse) -> None:
    """What is refunded after we credited it is withdrawn, said to have been credited, and not debited."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0)
    bought = world.sandbox.purchase("lacking_unconfigured", age=2 * DAY)
    world.reconcile()
    world.later()

    world.sandbox.refund(bought)
    world.later()
    said = world.reconcile()

    assert (said.code, said.document["corrections"]["planned"]) == (0, 0)
    assert world.verdict(bought) == ("withdrawn", "refunded_after_credit")
    (found,) = world.ucred("breaks", "--format", "json").document["breaks"]
    assert (found["kind"], found["payment_intent"]) == ("withdrawn", bought)


def test_a_credit_by_support_between_plan_and_credit(rehearse: Rehearse) -> None:
    """What support credits by hand after it was planned is not sent."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1)
    world.reconcile(apply=False)
    taken = next(iter(world.sandbox.truth.to_credit.values()))
    world.sandbox.credit(taken.payment_intent)
    world.later()

    assert world.reconcile().document["corrections"]["confirmed"] == 3
    assert taken.namespace not in world.sent()


def test_a_new_purchase_that_is_never_credited(plain: Rehearsal) -> None:
    """A purchase made between two runs is pending for its grace period, then lacks, and is credited once."""
    plain.reconcile()
    bought = plain.sandbox.purchase("lacking_timed_out")
    seen = []
    for _ in range(3):
        plain.later()
        plain.reconcile()
        seen.append(plain.verdict(bought)[0])

    assert seen == ["pending", "credited", "credited"]
    assert plain.sent() == {plain.judged()[bought].namespace: 1}
