"""Plans: frozen lists of corrections, each with a hash by which a person approves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from ucred_pipeline.domain.corrections import PlanItem, plan_hash
from ucred_pipeline.domain.limits import Excess
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.safety import Signed
from ucred_pipeline.ledger.schema import plan_items, plans, purchases
from ucred_pipeline.ledger.upsert import row_of


class PlanState(StrEnum):
    """Whether a plan may be carried out."""

    ALLOWED = "allowed"
    WITHHELD = "withheld"
    APPROVED = "approved"
    CARRIED_OUT = "carried_out"


@dataclass(frozen=True, slots=True)
class Plan:
    """A frozen list of corrections; `over` names the limits that it is over."""

    hash: str
    state: PlanState
    created: datetime
    items: tuple[PlanItem, ...]
    over: tuple[Excess, ...]
    approved_by: str | None
    expires: datetime | None

    @property
    def wei(self) -> int:
        """What the plan would send, in wei."""
        return sum(item.amount for item in self.items)


_BY_HASH: Final = select(plans).where(plans.c.hash == bindparam("hash"))
_ITEMS: Final = (
    select(plan_items).where(plan_items.c.plan == bindparam("plan")).order_by(plan_items.c.payment_intent)
)
_CREATING: Final = insert(plans)
_LISTING: Final = insert(plan_items)
_CHANGING: Final = update(plans).where(plans.c.hash == bindparam("of"))


def save_plan(
    connection: Connection, items: Sequence[PlanItem], over: Sequence[Excess], run_id: str, now: datetime
) -> Plan:
    """Keep a plan; the same items are the same plan, and keep the state that a person gave them."""
    name = plan_hash(items)
    state = PlanState.WITHHELD if over else PlanState.ALLOWED
    if not _is_there(connection, name):
        row = {"hash": name, "run_id": run_id, "created": now, "items": len(items)}
        wei = sum(item.amount for item in items)
        connection.execute(_CREATING, row | {"state": state, "wei": wei, "over": list(over)})
        connection.execute(_LISTING, [row_of(item) | {"plan": name} for item in items])
        told = {"items": len(items), "wei": str(wei), "over": list(over), "run": run_id}
        record(connection, Entry(now, "pipeline", f"plan:{name}", state, told))
    elif not _is_approved(get_plan(connection, name), now):
        connection.execute(_CHANGING, {"of": name, "state": state, "over": list(over), "expires": None})
    return get_plan(connection, name)


def get_plan(connection: Connection, name: str) -> Plan:
    """Read a plan by its whole hash."""
    return _plan(connection, connection.execute(_BY_HASH, {"hash": name}).one())


def find_plans(connection: Connection, beginning: str) -> list[Plan]:
    """The plans whose hash begins so."""
    chosen = (
        select(plans).where(plans.c.hash.startswith(beginning, autoescape=True)).order_by(plans.c.created)
    )
    return [_plan(connection, row) for row in connection.execute(chosen)]


_IN_STATE: Final = (
    select(plans).where(plans.c.state == bindparam("state")).order_by(plans.c.created, plans.c.hash)
)
_LAPSED: Final = (plans.c.state == PlanState.APPROVED) & (plans.c.expires <= bindparam("now"))
_WITHHOLDING_LAPSED: Final = update(plans).where(_LAPSED).values(state=PlanState.WITHHELD)


def plans_in(connection: Connection, state: PlanState) -> list[Plan]:
    """The plans in a state, oldest first."""
    return [_plan(connection, row) for row in connection.execute(_IN_STATE, {"state": state}).all()]


@dataclass(frozen=True, slots=True)
class Withheld:
    """A withheld plan, without its items; the amount is in wei."""

    hash: str
    created: datetime
    items: int
    wei: int
    over: Sequence[str]


def plans_waiting(connection: Connection) -> list[Withheld]:
    """The withheld plans that still name what lacks, the newest first."""
    names_lacking = (
        select(plan_items.c.plan)
        .join(purchases, purchases.c.payment_intent == plan_items.c.payment_intent)
        .where(plan_items.c.plan == plans.c.hash, purchases.c.verdict == Verdict.LACKING)
        .exists()
    )
    chosen = (
        select(plans.c.hash, plans.c.created, plans.c["items"], plans.c.wei, plans.c.over)
        .where(plans.c.state == PlanState.WITHHELD, names_lacking)
        .order_by(plans.c.created.desc(), plans.c.hash)
    )
    return [Withheld(*row) for row in connection.execute(chosen)]


def approve_plan(connection: Connection, plan: Plan, signed: Signed, lasts: timedelta) -> Plan:
    """Lift the limits for this plan alone, for a while."""
    expires = signed.at + lasts
    granted = {"approved": signed.at, "approved_by": signed.actor, "expires": expires}
    connection.execute(_CHANGING, {"of": plan.hash, "state": PlanState.APPROVED, **granted})
    told = {"expires": f"{expires:%Y-%m-%dT%H:%M:%SZ}", "wei": str(plan.wei), "items": len(plan.items)}
    record(connection, Entry(signed.at, signed.actor, f"plan:{plan.hash}", PlanState.APPROVED, told))
    return get_plan(connection, plan.hash)


def approved_plans(connection: Connection, now: datetime) -> list[Plan]:
    """The plans that were approved and whose approval still lasts; the others are withheld again."""
    connection.execute(_WITHHOLDING_LAPSED, {"now": now})
    return plans_in(connection, PlanState.APPROVED)


def mark_carried_out(connection: Connection, plan: Plan, now: datetime) -> None:
    """A plan of which nothing is left to send."""
    connection.execute(_CHANGING, {"of": plan.hash, "state": PlanState.CARRIED_OUT})
    record(connection, Entry(now, "pipeline", f"plan:{plan.hash}", PlanState.CARRIED_OUT, {}))


def _is_approved(plan: Plan, now: datetime) -> bool:
    return plan.state is PlanState.APPROVED and plan.expires is not None and plan.expires > now


def _is_there(connection: Connection, name: str) -> bool:
    return connection.execute(_BY_HASH, {"hash": name}).first() is not None


def _plan(connection: Connection, row: Row[Any]) -> Plan:
    items = tuple(
        PlanItem(
            item.payment_intent,
            item.namespace,
            item.account,
            item.amount,
            CorrectionKind(item.kind),
            item.epoch,
        )
        for item in connection.execute(_ITEMS, {"plan": row.hash})
    )
    over = tuple(Excess(name) for name in row.over)
    return Plan(row.hash, PlanState(row.state), row.created, items, over, row.approved_by, row.expires)
