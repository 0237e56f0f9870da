"""Plans: what lacks, held against the limits; what a person approved stays as it was approved."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import update

from ucred_pipeline.corrections.planning import (
    Planned,
    PlanningRules,
    plan_alone,
    plan_corrections,
    plan_retries,
    withdraw_settled,
)
from ucred_pipeline.domain.corrections import CorrectionState
from ucred_pipeline.domain.limits import Excess, Limits
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.plans import Plan, PlanState, approve_plan, get_plan
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.safety import open_epoch
from ucred_pipeline.ledger.schema import purchases
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.corrections.small_indexer import Fault
from ucred_pipeline_tests.corrections.world import World
from ucred_pipeline_tests.ledger.stories import add_plan, item, judge, planned, signed

A_DAY: Final = timedelta(hours=24)
RULES: Final = PlanningRules(Limits(2, 10**24, 10**24, 25, 20), timedelta(days=35))
OTHER_DAYS: Final = Days(since=NOON - timedelta(days=1))


def plan(world: World, days: Days = Days(), rules: PlanningRules = RULES) -> Planned:  # noqa: B008 - frozen
    """Plan what lacks within some days."""
    return plan_corrections(world.ledger, world.clock, rules, days, "run")


def approved(world: World, *numbers: int) -> Plan:
    """Plan too much, and let a person approve it."""
    world.lack(*numbers)
    withheld = plan(world).withheld
    assert withheld is not None
    with world.ledger.write() as connection:
        return approve_plan(connection, withheld, signed(world.clock.now()), A_DAY)


def names(found: Plan | None) -> list[str]:
    """The purchases of a plan."""
    return [one.payment_intent for one in found.items] if found else []


def state_of(world: World, found: Plan) -> PlanState:
    """Read where a plan stands."""
    with world.ledger.read() as connection:
        return get_plan(connection, found.hash).state


def test_what_lacks_is_planned(any_world: World) -> None:
    """Within the limits the plan may be carried out at once."""
    any_world.lack(1, 2)
    found = plan(any_world)

    assert names(found.newest) == ["pi_1", "pi_2"]
    assert (found.corrections, found.wei, found.withheld) == (2, 2 * 10**18, None)
    assert [one.state for one in found.plans] == [PlanState.ALLOWED]


def test_nothing_lacking_is_no_plan(world: World) -> None:
    """Where nothing lacks there is nothing to show."""
    assert plan(world) == Planned((), None)
    assert plan(world).newest is None


@pytest.mark.parametrize("verdict", sorted(set(Verdict) - {Verdict.LACKING}))
def test_nothing_else_is_planned(world: World, verdict: Verdict) -> None:
    """Of all verdicts only `lacking` leads to a credit."""
    world.lack(1)
    judge(world.ledger, "pi_1", verdict=verdict)

    assert plan(world).corrections == 0


@pytest.mark.parametrize("missing", ["account", "namespace"])
def test_what_has_no_account_or_name_is_not_planned(world: World, missing: str) -> None:
    """A credit needs an account, and a memo that names the purchase."""
    world.lack(1)
    judge(world.ledger, "pi_1", **{missing: None})

    assert plan(world).corrections == 0


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.OVERFLOW, None])
def test_what_is_under_way_or_was_refused_is_not_planned(world: World, fault: Fault | None) -> None:
    """Neither a doubt nor a refusal is planned again, nor, by its verdict, what was confirmed."""
    world.lack(1)
    if fault is not None:
        world.indexer.faults[item(1).account] = [fault]
    world.run()
    world.judge()

    assert plan(world).corrections == 0


def test_days_limit_what_is_planned(world: World) -> None:
    """Only purchases whose payment was created within the days, the first day included and the last not."""
    world.lack(1)
    created = NOON - timedelta(days=2)

    assert plan(world, Days(since=created, until=created + timedelta(seconds=1))).corrections == 1
    assert plan(world, Days(since=created + timedelta(seconds=1))).corrections == 0
    assert plan(world, Days(until=created)).corrections == 0


def test_a_plan_over_a_limit_is_withheld_whole(any_world: World) -> None:
    """Not even a part of it may be sent."""
    any_world.lack(1, 2, 3)
    found = plan(any_world)

    assert (found.plans, names(found.withheld)) == ((), ["pi_1", "pi_2", "pi_3"])
    assert found.withheld is not None
    assert found.withheld.over == (Excess.CORRECTIONS_PER_RUN,)


def test_what_was_sent_today_counts(world: World) -> None:
    """What is in doubt counts for the day as what was confirmed does."""
    rules = replace(RULES, limits=replace(RULES.limits, wei_per_day=2 * 10**18))
    world.lack(1, 2)
    world.indexer.faults[item(1).account] = [Fault.LOST_REPLY]
    world.run()
    world.judge()
    world.lack(4)

    withheld = plan(world, rules=rules).withheld
    assert withheld is not None
    assert withheld.over == (Excess.UCRED_PER_DAY,)


@pytest.mark.parametrize("lacking, over", [(5, False), (6, True)])
def test_a_large_share_of_lacking_purchases_is_withheld(world: World, lacking: int, *, over: bool) -> None:
    """A quarter of the settled purchases may lack; more look like an indexer that forgot."""
    rules = replace(RULES, limits=replace(RULES.limits, corrections_per_run=99))
    world.lack(*range(20))
    for number in range(lacking, 20):
        judge(world.ledger, f"pi_{number}", verdict=Verdict.CREDITED)

    found = plan(world, rules=rules)
    assert ((Excess.LACKING_SHARE,) if over else ()) == (found.newest.over if found.newest else None)


def test_an_old_purchase_does_not_weigh_in_the_share(world: World) -> None:
    """The share is of the purchases that fell due lately."""
    rules = replace(RULES, limits=replace(RULES.limits, corrections_per_run=99))
    world.lack(*range(20))
    with world.ledger.write() as connection:
        connection.execute(update(purchases).values(due_since=NOON - timedelta(days=36)))

    assert plan(world, rules=rules).withheld is None


def test_an_approved_plan_is_carried_out_as_it_is(any_world: World) -> None:
    """What was found later is another plan, under the limits; nothing joins the approved one."""
    granted = approved(any_world, 1, 2, 3)
    any_world.lack(4)

    found = plan(any_world)

    assert [names(one) for one in found.plans] == [["pi_1", "pi_2", "pi_3"], ["pi_4"]]
    assert [one.state for one in found.plans] == [PlanState.APPROVED, PlanState.ALLOWED]
    assert found.plans[0].hash == granted.hash


def test_a_run_over_other_days_leaves_an_approval_alone(world: World) -> None:
    """An approved plan is still carried out when a run plans for days of which it has nothing."""
    granted = approved(world, 1, 2, 3)

    found = plan(world, OTHER_DAYS)

    assert [granted.hash] == [one.hash for one in found.plans]
    assert state_of(world, granted) is PlanState.APPROVED


def test_an_approval_ends_with_its_time(world: World) -> None:
    """After 24 hours the same plan waits for another approval."""
    granted = approved(world, 1, 2, 3)
    world.clock.advance(A_DAY)

    found = plan(world)

    assert (found.plans, names(found.withheld)) == ((), ["pi_1", "pi_2", "pi_3"])
    assert state_of(world, granted) is PlanState.WITHHELD


def test_an_approved_plan_ends_when_nothing_of_it_is_left(world: World) -> None:
    """A plan that was carried out is approved no more, and the same items would need another approval."""
    granted = approved(world, 1, 2, 3)
    assert world.run(approved=True).confirmed == 3
    world.judge()
    plan(world)
    assert state_of(world, granted) is PlanState.CARRIED_OUT

    for number in (1, 2, 3):
        judge(world.ledger, f"pi_{number}", verdict=Verdict.LACKING)
    again = plan(world).withheld
    assert again is not None
    assert (again.hash, again.state) == (granted.hash, PlanState.WITHHELD)


def test_what_changed_is_another_plan(world: World) -> None:
    """An item that is now of another amount leaves the approved plan, and is planned under the limits."""
    granted = approved(world, 1, 2, 3)
    judge(world.ledger, "pi_3", entitlement=2 * 10**18)

    found = plan(world)

    assert [granted.hash] == [one.hash for one in found.plans[:1]]
    assert [names(one) for one in found.plans[1:]] == [["pi_3"]]


def test_an_approval_does_not_outlive_its_epoch(world: World) -> None:
    """What was approved for a state that is lost is not approved for the new one, nor does it block it."""
    granted = approved(world, 1, 2, 3)
    with world.ledger.write() as connection:
        open_epoch(connection, signed(world.clock.now()))

    found = plan(world)

    assert (found.plans, names(found.withheld)) == ((), ["pi_1", "pi_2", "pi_3"])
    assert state_of(world, granted) is PlanState.CARRIED_OUT


def test_one_credit_alone_is_under_the_same_limits(world: World) -> None:
    """Support's credit is a plan as well, and its approval ends as any other."""
    wanted = world.lack(1)[0]
    manual = replace(wanted, kind=CorrectionKind.MANUAL)
    strict = replace(RULES, limits=replace(RULES.limits, wei_per_run=1))

    allowed = plan_alone(world.ledger, world.clock, RULES, manual, "run")
    assert [manual] == [one for found in allowed.plans for one in found.items]

    withheld = plan_alone(world.ledger, world.clock, strict, manual, "run").withheld
    assert withheld is not None
    with world.ledger.write() as connection:
        approve_plan(connection, withheld, signed(NOON), A_DAY)
    assert plan_alone(world.ledger, world.clock, strict, manual, "run").withheld is None
    world.clock.advance(A_DAY)
    assert plan_alone(world.ledger, world.clock, strict, manual, "run").withheld is not None


def test_an_approved_plan_takes_no_credit_from_support(world: World) -> None:
    """What support has begun is planned as support's, also where an approved plan names its purchase."""
    whole = approved(world, 1, 2, 3)
    manual = replace(item(2), kind=CorrectionKind.MANUAL)
    world.book().accept(add_plan(world.ledger, [manual]), [manual])

    found = plan(world)

    assert found.plans[0] == whole
    assert found.newest is not None
    assert found.newest.items == (manual,)


def test_supports_credit_goes_on_as_supports(world: World) -> None:
    """What support began and could not be sent yet is planned under its own name and memo."""
    manual = item(1, kind=CorrectionKind.MANUAL)
    planned(world.ledger, world.book(), manual)

    found = plan(world).newest
    assert found is not None
    assert found.items == (manual,)


@pytest.mark.parametrize(
    "verdict, state, reason",
    [
        (Verdict.CREDITED, CorrectionState.SUPERSEDED, "credited_by_another"),
        (Verdict.OVER_CREDITED, CorrectionState.SUPERSEDED, "credited_by_another"),
        (Verdict.WITHDRAWN, CorrectionState.CANCELLED, "now_withdrawn"),
        (Verdict.UNPAID, CorrectionState.CANCELLED, "now_unpaid"),
        (Verdict.UNISSUED, CorrectionState.CANCELLED, "now_unissued"),
        (Verdict.FOREIGN, CorrectionState.CANCELLED, "now_foreign"),
        (None, CorrectionState.CANCELLED, "now_gone"),
        (Verdict.LACKING, CorrectionState.PLANNED, "lacking"),
        (Verdict.PENDING, CorrectionState.PLANNED, "lacking"),
        (Verdict.AMBIGUOUS, CorrectionState.PLANNED, "lacking"),
        (Verdict.IN_DOUBT, CorrectionState.PLANNED, "lacking"),
    ],
)
def test_a_planned_correction_ends_with_its_reason(
    world: World, verdict: Verdict | None, state: CorrectionState, reason: str
) -> None:
    """What lacks no more is not sent: credited by another, or owed no more; the rest waits."""
    world.items[1] = item(1)
    planned(world.ledger, world.book(), item(1), verdict=verdict)

    withdraw_settled(world.ledger, world.book())

    assert (world.state(1), world.reason(1)) == (state, reason)


def test_only_waiting_corrections_are_withdrawn(world: World) -> None:
    """A doubt is not ended by a verdict."""
    world.lack(1)
    world.indexer.faults[item(1).account] = [Fault.LOST_REPLY]
    world.run()
    judge(world.ledger, "pi_1", verdict=Verdict.CREDITED)

    withdraw_settled(world.ledger, world.book())

    assert world.state(1) is CorrectionState.IN_DOUBT


def failed(world: World, *numbers: int, approved: bool = False) -> None:
    """Let the first attempt of some end without an effect, and the wait be over."""
    for number in numbers:
        world.indexer.faults[item(number).account] = [Fault.NEVER_LEFT]
    world.run(approved=approved)
    world.clock.advance(timedelta(hours=6))
    world.read_balances()
    world.judge()


def test_only_what_failed_is_planned_again(world: World) -> None:
    """What lacks and was never tried waits for a reconciliation; what is not due yet waits for its time."""
    world.lack(1)
    failed(world, 1)
    world.lack(2)

    assert names(plan_retries(world.ledger, world.clock, RULES, "run").newest) == ["pi_1"]
    world.clock.advance(-timedelta(hours=6))
    assert plan_retries(world.ledger, world.clock, RULES, "run").newest is None


def test_retries_are_under_the_limits(world: World) -> None:
    """Too many of them are withheld, as any plan is."""
    world.lack(1, 2, 3)
    failed(world, 1, 2, 3)

    found = plan_retries(world.ledger, world.clock, RULES, "run")

    assert (found.plans, names(found.withheld)) == ((), ["pi_1", "pi_2", "pi_3"])


def test_an_approved_plan_is_carried_out_for_the_retries_alone(world: World) -> None:
    """The approval lifts the limits for what is due; what it has not tried yet stays for a reconciliation."""
    whole = approved(world, 1, 2, 3)
    failed(world, 2)
    with world.ledger.write() as connection:
        approve_plan(connection, whole, signed(world.clock.now()), A_DAY)
    for number in (1, 3):
        judge(world.ledger, f"pi_{number}", verdict=Verdict.LACKING)

    found = plan_retries(world.ledger, world.clock, RULES, "run")

    assert found.withheld is None
    assert [(plan.hash, names(plan)) for plan in found.plans] == [(whole.hash, ["pi_2"])]
