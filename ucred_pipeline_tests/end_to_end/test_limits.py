"""A run stays within its limits by itself, and goes over them with a person's approval only."""

import re
from datetime import timedelta

import pytest

from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

AN_HOUR = timedelta(hours=1)
A_DAY = timedelta(hours=24)


@pytest.fixture
def over(rehearse: Rehearse) -> Rehearsal:
    """A world in which far too many purchases lack their UCRED."""
    return rehearse(purchases=40, special_cases=False, lacking_share=0.4)


def approve(world: Rehearsal, plan: str) -> None:
    """Approve a plan by the beginning of its hash."""
    said = world.ucred("approve", plan[:12], "--by", "Ida")
    assert (said.code, said.err) == (0, "")
    assert f'ucred --env-file "{world.env_file}" reconcile --apply' in said.out


def test_the_default_world_needs_no_approval(rehearse: Rehearse) -> None:
    """Fewer than 80 and fewer than 15% lack in the sandbox as it comes, and one run credits them all."""
    world = rehearse(lost_answers=None)
    owed = world.owed()
    assert len(owed) < 80
    assert len(owed) < 0.15 * 200

    said = world.reconcile()

    assert (said.code, said.document["hold"], world.sent()) == (0, None, owed)


def test_the_hold_the_approval_and_the_run_that_carries_it_out(over: Rehearsal) -> None:
    """Over the share of lacking purchases nothing is sent, until the plan is approved by its hash."""
    owed = over.owed()

    held = over.reconcile()

    assert (held.code, held.document["hold"]) == (4, "over_lacking_share")
    assert held.document["corrections"] == {
        "planned": 16,
        "confirmed": 0,
        "refused": 0,
        "in_doubt": 0,
        "held": 16,
    }
    assert f"approve {held.document['plan'][:12]} --by" in held.err
    assert over.sandbox.http_credits == ()
    approve(over, held.document["plan"])
    assert over.sandbox.http_credits == ()
    carried_out = over.reconcile()
    assert (carried_out.code, carried_out.document["corrections"]["confirmed"]) == (0, 16)
    assert carried_out.document["plan"] == held.document["plan"]
    assert over.sent() == owed
    over.later()
    assert over.reconcile().code == 0
    assert over.sent() == owed
    approved = [entry for entry in over.told() if entry.event == "approved"]
    assert [(entry.actor, entry.subject) for entry in approved] == [("Ida", f"plan:{held.document['plan']}")]


def test_an_approval_lasts_a_day(over: Rehearsal) -> None:
    """After 24 hours an approval lifts nothing any more, and the plan can be approved anew."""
    plan = over.reconcile().document["plan"]
    approve(over, plan)

    over.later(A_DAY)
    late = over.reconcile()

    assert (late.code, late.document["plan"], over.sandbox.http_credits) == (4, plan, ())
    approve(over, plan)
    over.later(A_DAY - timedelta(minutes=1))
    assert over.reconcile().code == 0
    assert over.sent() == over.owed()


def test_what_is_found_later_is_another_plan(over: Rehearsal) -> None:
    """A purchase that lacks since the approval does not join the approved plan, and is withheld."""
    approved = over.owed()
    plan = over.reconcile().document["plan"]
    approve(over, plan)
    over.sandbox.purchase("lacking_indexer_down")
    over.later(AN_HOUR)

    said = over.reconcile()

    assert over.sent() == approved
    assert said.document["corrections"]["confirmed"] == len(approved)
    assert said.document["plan"] != plan
    assert (said.code, said.document["corrections"]["held"]) == (4, 1)


def test_what_lacks_no_more_drops_out_of_an_approved_plan(over: Rehearsal) -> None:
    """Each item of an approved plan is looked at again: what support credited meanwhile is not sent."""
    approve(over, over.reconcile().document["plan"])
    meanwhile = next(iter(over.sandbox.truth.to_credit.values()))
    over.sandbox.credit(meanwhile.payment_intent)
    over.later()

    said = over.reconcile()

    assert (said.code, said.document["corrections"]["confirmed"]) == (0, 15)
    assert meanwhile.namespace not in over.sent()
    assert over.sent() == over.owed()


def test_an_approved_credit_of_support_is_sent_as_supports(over: Rehearsal) -> None:
    """What support asked for over a limit is carried out by the next run once approved, and only that."""
    over.reconcile(apply=False)
    owed = next(iter(over.sandbox.truth.to_credit.values()))
    withheld = over.ucred("credit", str(owed.namespace), "--by", "Ida", "--reason", "ticket", "--apply")
    assert withheld.code == 4
    (plan,) = re.findall(r"approve ([0-9a-f]{12})", withheld.err)
    approve(over, plan)

    over.reconcile()

    (credit,) = over.sandbox.http_credits
    assert credit.memo.startswith(f"manual_credit:{owed.namespace}:")


@pytest.mark.parametrize(
    "limit, excess",
    [
        ("corrections_per_run = 3", "over_corrections_per_run"),
        ("ucred_per_run = '3'", "over_ucred_per_run"),
        ("ucred_per_day = '3.999999999999999999'", "over_ucred_per_day"),
        ("lacking_percent = 9", "over_lacking_share"),
    ],
)
def test_each_limit_withholds_the_whole_plan(rehearse: Rehearse, limit: str, excess: str) -> None:
    """One over any limit withholds the whole plan and not a part of it, and names the limit."""
    rules = f"[limits]\n{limit}\n"
    world = rehearse(rules, purchases=40, special_cases=False, lacking_share=0.1)

    said = world.reconcile()

    assert (said.code, said.document["hold"], said.document["corrections"]["held"]) == (4, excess, 4)
    assert world.sandbox.http_credits == ()


def test_a_limit_that_is_just_met(rehearse: Rehearse) -> None:
    """What is exactly at every limit is sent."""
    rules = (
        "[limits]\ncorrections_per_run = 4\nucred_per_run = '4'\nucred_per_day = '4'\nlacking_percent = 10\n"
    )
    world = rehearse(rules, purchases=40, special_cases=False, lacking_share=0.1)

    assert world.reconcile().code == 0
    assert world.sent() == world.owed()


def test_the_day_counts_what_earlier_runs_sent(rehearse: Rehearse) -> None:
    """What was sent in the last 24 hours counts against the limit of the day, and is forgotten after."""
    world = rehearse("[limits]\nucred_per_day = '4'\n", purchases=40, special_cases=False, lacking_share=0.1)
    assert world.reconcile().code == 0
    world.sandbox.purchase("lacking_indexer_down")
    world.later(AN_HOUR)

    held = world.reconcile()
    world.later(A_DAY)
    sent = world.reconcile()

    assert (held.code, held.document["hold"]) == (4, "over_ucred_per_day")
    assert (sent.code, world.sent()) == (0, world.owed())


@pytest.mark.parametrize("name", ["0123456789abcdef", "abc"])
def test_a_plan_that_is_not_there(plain: Rehearsal, name: str) -> None:
    """A hash of no plan, or too short a beginning of one, is a wrong use, and says so."""
    said = plain.ucred("approve", name, "--by", "Ida")

    assert said.code == 2
    assert "plan" in said.err


def test_only_a_withheld_plan_is_approved(over: Rehearsal) -> None:
    """Approving twice is refused: the first approval stands as it is."""
    plan = over.reconcile(apply=False).document["plan"]
    approve(over, plan)

    again = over.ucred("approve", plan, "--by", "Ida")

    assert (again.code, "approved" in again.err) == (2, True)
