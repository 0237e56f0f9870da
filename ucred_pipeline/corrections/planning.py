"""Plans corrections: what lacks, frozen and hashed, and held against the limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.corrections import CorrectionState, PlanItem
from ucred_pipeline.domain.limits import Limits, Load, excesses
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.correction_rows import find_corrections, reserved_in_a_day
from ucred_pipeline.ledger.corrections import CorrectionBook
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.plans import (
    Plan,
    PlanState,
    approved_plans,
    mark_carried_out,
    save_plan,
)
from ucred_pipeline.ledger.purchases import Days, lacking_items, lacking_share, verdicts_of
from ucred_pipeline.ledger.retries import due_purchases


@dataclass(frozen=True, slots=True)
class PlanningRules:
    """The limits, and how far back the share of lacking purchases looks."""

    limits: Limits
    share_looks_back: timedelta


@dataclass(frozen=True, slots=True)
class Planned:
    """The plans of a run: those that may be carried out, and the one that is withheld."""

    plans: tuple[Plan, ...]
    withheld: Plan | None

    @property
    def newest(self) -> Plan | None:
        """The plan that people are shown: the one withheld, or else the last that may be sent."""
        return self.withheld or (self.plans[-1] if self.plans else None)

    @property
    def corrections(self) -> int:
        """How many corrections all the plans have."""
        return sum(len(plan.items) for plan in self._all)

    @property
    def wei(self) -> int:
        """What all the plans would send, in wei."""
        return sum(plan.wei for plan in self._all)

    @property
    def _all(self) -> tuple[Plan, ...]:
        return (*self.plans, self.withheld) if self.withheld else self.plans


def plan_corrections(ledger: Ledger, clock: Clock, rules: PlanningRules, days: Days, run_id: str) -> Planned:
    """Plan a credit for everything that lacks within the days.

    What an approved plan names stays in it; the rest is a plan of its own, under the limits.
    """
    with ledger.write() as connection:
        now = clock.now()
        approved = _approved(connection, now)
        named = {item for plan in approved for item in plan.items}
        rest = [item for item in _lacking(connection, days, approved) if item not in named]
        return _under_limits(connection, approved, rest, rules, run_id, now)


def plan_retries(ledger: Ledger, clock: Clock, rules: PlanningRules, run_id: str) -> Planned:
    """Plan again what was provably not applied and is due, and nothing else.

    An approved plan that names some of it is carried out for these alone.
    """
    with ledger.write() as connection:
        now = clock.now()
        due = due_purchases(connection, now)
        approved = [
            replace(plan, items=chosen)
            for plan in _approved(connection, now)
            if (chosen := tuple(item for item in plan.items if item.payment_intent in due))
        ]
        named = {item for plan in approved for item in plan.items}
        rest = [
            item
            for item in _lacking(connection, Days(), approved)
            if item.payment_intent in due and item not in named
        ]
        return _under_limits(connection, approved, rest, rules, run_id, now)


def plan_alone(ledger: Ledger, clock: Clock, rules: PlanningRules, item: PlanItem, run_id: str) -> Planned:
    """Plan one credit alone, under the same limits."""
    with ledger.write() as connection:
        now = clock.now()
        over = excesses(_load(connection, [item], rules, now), rules.limits)
        fresh = save_plan(connection, [item], over, run_id, now)
    if fresh.state is PlanState.WITHHELD:
        return Planned((), fresh)
    return Planned((fresh,), None)


def withdraw_settled(ledger: Ledger, book: CorrectionBook) -> None:
    """End the planned corrections whose purchase lacks no more."""
    with ledger.read() as connection:
        planned = find_corrections(connection, states=[CorrectionState.PLANNED])
        verdicts = verdicts_of(connection, [found.payment_intent for found in planned])
    for found in planned:
        verdict = verdicts.get(found.payment_intent)
        if verdict in {Verdict.CREDITED, Verdict.OVER_CREDITED}:
            book.withdraw(found.id, CorrectionState.SUPERSEDED, "credited_by_another")
        elif verdict in {Verdict.WITHDRAWN, Verdict.UNPAID, Verdict.UNISSUED, Verdict.FOREIGN, None}:
            book.withdraw(found.id, CorrectionState.CANCELLED, f"now_{verdict or 'gone'}")


def _approved(connection: Connection, now: datetime) -> list[Plan]:
    """The approved plans of which something is left to send."""
    plans = approved_plans(connection, now)
    lacking = _lacking(connection, Days(), plans)
    return [plan for plan in plans if _still_open(connection, plan, lacking, now)]


def _lacking(connection: Connection, days: Days, approved: Sequence[Plan]) -> list[PlanItem]:
    """What lacks; what support asked for, and was withheld, stays support's where nothing of it has begun."""
    items = lacking_items(connection, days)
    asked = {item for plan in approved for item in plan.items if item.kind is CorrectionKind.MANUAL}
    if not asked:
        return items
    begun = {one.payment_intent for one in find_corrections(connection, states=[CorrectionState.PLANNED])}
    return [
        supports
        if item.payment_intent not in begun
        and (supports := replace(item, kind=CorrectionKind.MANUAL)) in asked
        else item
        for item in items
    ]


def _under_limits(  # noqa: PLR0913, PLR0917 - what a plan is made of
    connection: Connection,
    approved: Sequence[Plan],
    rest: Sequence[PlanItem],
    rules: PlanningRules,
    run_id: str,
    now: datetime,
) -> Planned:
    """Make a plan of the rest; over a limit it is withheld, and only the approved ones go on."""
    if not rest:
        return Planned(tuple(approved), None)
    over = excesses(_load(connection, rest, rules, now), rules.limits)
    fresh = save_plan(connection, rest, over, run_id, now)
    if fresh.state is PlanState.WITHHELD:
        return Planned(tuple(approved), fresh)
    return Planned((*approved, fresh), None)


def _still_open(connection: Connection, plan: Plan, items: Sequence[PlanItem], now: datetime) -> bool:
    if not set(items).isdisjoint(plan.items):
        return True
    mark_carried_out(connection, plan, now)
    return False


def _load(connection: Connection, items: Sequence[PlanItem], rules: PlanningRules, now: datetime) -> Load:
    settled, lacking = lacking_share(connection, now - rules.share_looks_back)
    return Load(
        corrections=len(items),
        wei=sum(item.amount for item in items),
        wei_sent_today=reserved_in_a_day(connection, now),
        settled=settled,
        lacking=lacking,
    )
