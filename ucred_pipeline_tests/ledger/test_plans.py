"""Plans are frozen lists, named by what is in them; a person's approval is for that list alone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.domain.corrections import PlanItem, plan_hash
from ucred_pipeline.domain.limits import Excess
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.history import told_of
from ucred_pipeline.ledger.plans import (
    Plan,
    PlanState,
    approve_plan,
    approved_plans,
    find_plans,
    get_plan,
    mark_carried_out,
    plans_in,
    save_plan,
)
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.ledger.stories import A_SECOND, item, signed

A_DAY: Final = timedelta(hours=24)
OVER: Final = [Excess.CORRECTIONS_PER_RUN]


def saved(ledger: Ledger, items: Sequence[PlanItem], over: Sequence[Excess] = ()) -> Plan:
    """Keep a plan."""
    with ledger.write() as connection:
        return save_plan(connection, items, over, "run", NOON)


@given(st.permutations(range(5)))
def test_the_same_items_are_the_same_plan(order: Sequence[int]) -> None:
    """The order in which items were found does not matter."""
    assert plan_hash([item(number) for number in range(5)]) == plan_hash([item(number) for number in order])


@pytest.mark.parametrize(
    "other",
    [
        [item(1)],
        [item(1), item(2), item(3)],
        [item(1), item(2, amount=item(2).amount + 1)],
        [item(1), item(2, account="acct:user:other@example.com")],
        [item(1), item(2, namespace="other.x")],
        [item(1), item(2, kind=CorrectionKind.MANUAL)],
        [item(1), item(2, epoch=2)],
        [item(1), item(2, payment_intent="pi_3")],
    ],
)
def test_other_items_are_another_plan(other: list[PlanItem]) -> None:
    """Whatever of an item differs, an approval of the one plan is none of the other."""
    assert plan_hash(other) != plan_hash([item(1), item(2)])


def test_a_plan_comes_back_as_it_was_kept(ledger: Ledger) -> None:
    """Items, amounts and limits are exact; the plan is found by the beginning of its hash."""
    plan = saved(ledger, [item(2, amount=2**127), item(1)], OVER)

    assert plan.items == (item(1), item(2, amount=2**127))
    assert plan.over == (Excess.CORRECTIONS_PER_RUN,)
    assert plan.wei == 2**127 + item(1).amount
    assert plan.state is PlanState.WITHHELD
    with ledger.read() as connection:
        assert find_plans(connection, plan.hash[:12]) == [plan]
        assert find_plans(connection, "%") == []
        assert plans_in(connection, PlanState.ALLOWED) == []


def test_the_same_plan_is_kept_once(ledger: Ledger) -> None:
    """Each run finds it as it is, over limits or no more."""
    plan = saved(ledger, [item(1)], OVER)

    assert saved(ledger, [item(1)], OVER) == plan
    assert saved(ledger, [item(1)]).state is PlanState.ALLOWED
    assert saved(ledger, [item(1)], OVER).state is PlanState.WITHHELD


def test_an_approval_is_for_a_plan_and_a_while(ledger: Ledger) -> None:
    """An approved plan stays approved while it is planned again, until its time is over."""
    plan = saved(ledger, [item(1)], OVER)
    with ledger.write() as connection:
        approved = approve_plan(connection, plan, signed(NOON), A_DAY)
    assert (approved.state, approved.approved_by, approved.expires) == (
        PlanState.APPROVED,
        "ada",
        NOON + A_DAY,
    )
    assert saved(ledger, [item(1)], OVER).state is PlanState.APPROVED
    assert saved(ledger, [item(1), item(2)], OVER).state is PlanState.WITHHELD

    with ledger.write() as connection:
        assert approved_plans(connection, NOON + A_DAY - A_SECOND) == [approved]
        assert approved_plans(connection, NOON + A_DAY) == []
        assert get_plan(connection, plan.hash).state is PlanState.WITHHELD


def test_an_approval_that_lapsed_is_none(ledger: Ledger) -> None:
    """A plan that is kept again after its approval's end is withheld again, whoever looks first."""
    plan = saved(ledger, [item(1)], OVER)
    with ledger.write() as connection:
        approve_plan(connection, plan, signed(NOON - A_DAY), A_DAY)

    assert saved(ledger, [item(1)], OVER).state is PlanState.WITHHELD


def test_history_tells_of_a_plan(ledger: Ledger) -> None:
    """Who approved what, until when, and that it was carried out."""
    plan = saved(ledger, [item(1)], OVER)
    with ledger.write() as connection:
        mark_carried_out(connection, approve_plan(connection, plan, signed(NOON), A_DAY), NOON)
        told = told_of(connection, f"plan:{plan.hash}")

    assert [entry.event for entry in told] == ["withheld", "approved", "carried_out"]
    assert (told[1].actor, told[1].detail["expires"]) == ("ada", "2026-02-04T12:00:00Z")
