"""Control totals: what was read and concluded, counted from both ends, so that it ties or shows where not.

What is counted over every purchase is counted once, in the transaction of the judgement, and kept as a
note; the rest is counted when it is asked for.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, exists, func, or_, select

from ucred_pipeline.domain.clock import from_micros, to_micros
from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.domain.issuances import ISSUED, VOIDED
from ucred_pipeline.domain.verdicts import Reason, Verdict, is_break
from ucred_pipeline.ledger.breaks import KINDS
from ucred_pipeline.ledger.mints import OWED
from ucred_pipeline.ledger.reads import leave_note, note
from ucred_pipeline.ledger.schema import attempts, breaks, corrections, issuances, payments, purchases

_NOTE: Final = "tallies"
#: Purchases that the newest run has put together and not judged yet.
UNJUDGED: Final = "not_judged"


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """A whole that was counted by itself, and the parts that must make it up."""

    name: str
    whole: int
    parts: Mapping[str, int]

    @property
    def unexplained(self) -> int:
        """What the parts leave open; anything but 0 is a fault."""
        return self.whole - sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Tallies:
    """What was counted over every purchase at the newest judgement; `owed` is in wei."""

    at: datetime
    purchases: ControlTotal
    payments: ControlTotal
    certificates: ControlTotal
    owed: ControlTotal
    breaks: Mapping[str, int]


def take_tallies(connection: Connection, at: datetime) -> None:
    """Count anew over every purchase, and keep it."""
    groups = _groups(connection)
    told = {
        "at_us": to_micros(at),
        "purchases": _written(_purchases(connection, groups)),
        "payments": _written(_payments(connection, groups)),
        "certificates": _written(_certificates(connection, groups)),
        "owed": _written(_owed(groups)),
        "breaks": _breaks_by_verdict(connection, groups),
    }
    leave_note(connection, _NOTE, told)


def read_tallies(connection: Connection) -> Tallies | None:
    """Read what was counted last; None before the first judgement."""
    told = note(connection, _NOTE)
    if told is None:
        return None
    names = ("purchases", "payments", "certificates", "owed")
    return Tallies(
        at=from_micros(told["at_us"]),
        breaks=told["breaks"],
        **{name: _read(name, told[name]) for name in names},
    )


def breaks_total(connection: Connection, tallies: Tallies) -> ControlTotal:
    """The open breaks, against the verdicts that mean one."""
    is_open = select(func.count()).select_from(breaks).where(breaks.c.resolved.is_(None))
    return ControlTotal("breaks", connection.execute(is_open).scalar_one(), tallies.breaks)


def corrections_total(connection: Connection) -> ControlTotal:
    """Every correction that was ever planned, by where it stands."""
    whole = connection.execute(select(func.count()).select_from(corrections)).scalar_one()
    return ControlTotal("corrections", whole, _by_state(connection, corrections.c.state, CorrectionState))


def requests_total(connection: Connection) -> ControlTotal:
    """Every request that was ever sent, by what became of it."""
    whole = connection.execute(select(func.count()).select_from(attempts)).scalar_one()
    return ControlTotal("requests", whole, _by_state(connection, attempts.c.state, AttemptState))


def confirmed_total(connection: Connection) -> ControlTotal:
    """What the corrections say was credited, against the requests that took effect; in wei."""
    by_request = _wei(connection, attempts, AttemptState.APPLIED)
    by_correction = _wei(connection, corrections, CorrectionState.CONFIRMED)
    return ControlTotal("credited", by_correction, {"requested": by_request})


def _by_state(
    connection: Connection, column: Any, states: type[CorrectionState] | type[AttemptState]
) -> dict[str, int]:
    found: dict[str, int] = dict(connection.execute(select(column, func.count()).group_by(column)).all())
    return {state.value: found.get(state.value, 0) for state in states}


def _wei(connection: Connection, table: Any, state: str) -> int:
    chosen = select(table.c.amount, func.count()).where(table.c.state == state).group_by(table.c.amount)
    return sum(amount * count for amount, count in connection.execute(chosen))


@dataclass(frozen=True, slots=True)
class _Group:
    """Purchases that are alike in all that is counted."""

    verdict: str | None
    entitlement: int
    payment_known: bool
    succeeded: bool
    issued_rows: int
    minted: bool | None
    count: int


def _groups(connection: Connection) -> list[_Group]:
    p = purchases.c
    alike = (p.verdict, p.entitlement, p.payment_known, p.succeeded, p.issued_rows, p.minted)
    return [_Group(*row) for row in connection.execute(select(*alike, func.count()).group_by(*alike))]


def _purchases(connection: Connection, groups: list[_Group]) -> ControlTotal:
    whole = connection.execute(select(func.count()).select_from(purchases)).scalar_one()
    parts = dict.fromkeys((*(verdict.value for verdict in Verdict), UNJUDGED), 0)
    for group in groups:
        parts[group.verdict or UNJUDGED] += group.count
    return ControlTotal("purchases", whole, parts)


def _payments(connection: Connection, groups: list[_Group]) -> ControlTotal:
    whole = connection.execute(select(func.count()).select_from(payments)).scalar_one()
    bought = exists().where(purchases.c.payment_intent == payments.c.payment_intent)
    unpaid = or_(payments.c.status < "succeeded", payments.c.status > "succeeded")
    never = select(func.count()).select_from(payments).where(unpaid, ~bought)
    parts = {
        "paid": sum(group.count for group in groups if group.payment_known and group.succeeded),
        "certified_unpaid": sum(
            group.count for group in groups if group.payment_known and not group.succeeded
        ),
        "never_paid": connection.execute(never).scalar_one(),
    }
    return ControlTotal("payments", whole, parts)


def _certificates(connection: Connection, groups: list[_Group]) -> ControlTotal:
    chosen = select(issuances.c.state, func.count()).group_by(issuances.c.state)
    rows: dict[str, int] = dict(connection.execute(chosen).all())
    whole = connection.execute(select(func.count()).select_from(issuances)).scalar_one()
    first = sum(group.count for group in groups if group.issued_rows)
    parts = {
        "first": first,
        "further": sum(group.count * group.issued_rows for group in groups) - first,
        "voided": rows.get(VOIDED, 0),
        "begun": sum(count for state, count in rows.items() if state not in {ISSUED, VOIDED}),
    }
    return ControlTotal("certificates", whole, parts)


def _owed(groups: list[_Group]) -> ControlTotal:
    owed = [group for group in groups if group.verdict in OWED]
    parts: Counter[str] = Counter(
        dict.fromkeys(("minted", "otherwise", "lacking", "in_doubt", "ambiguous"), 0)
    )
    for group in owed:
        parts[_has_it(group)] += group.entitlement * group.count
    return ControlTotal("owed", sum(group.entitlement * group.count for group in owed), parts)


def _has_it(group: _Group) -> str:
    if group.verdict not in {Verdict.CREDITED, Verdict.OVER_CREDITED}:
        return str(group.verdict)
    return "minted" if group.minted else "otherwise"


def _breaks_by_verdict(connection: Connection, groups: list[_Group]) -> dict[str, int]:
    found: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    for group in groups:
        if group.verdict in KINDS and group.verdict != Verdict.WITHDRAWN:
            found[group.verdict] += group.count
    after_credit = [reason.value for reason in Reason if is_break(Verdict.WITHDRAWN, reason)]
    chosen = select(func.count()).where(
        purchases.c.verdict == Verdict.WITHDRAWN, purchases.c.reason.in_(after_credit)
    )
    found[Verdict.WITHDRAWN.value] = connection.execute(chosen).scalar_one()
    return dict(found)


def _written(total: ControlTotal) -> dict[str, Any]:
    """Write amounts of wei as digits, for JSON's numbers are not exact everywhere."""
    return {"whole": str(total.whole), "parts": {name: str(count) for name, count in total.parts.items()}}


def _read(name: str, told: Mapping[str, Any]) -> ControlTotal:
    return ControlTotal(name, int(told["whole"]), {part: int(count) for part, count in told["parts"].items()})
