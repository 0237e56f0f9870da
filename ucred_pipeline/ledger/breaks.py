"""Breaks: verdicts that need attention, each with a stable id, a kind, an age, and an end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, select, update

from ucred_pipeline.domain.verdicts import Reason, Verdict, is_break
from ucred_pipeline.ledger.schema import breaks, purchases
from ucred_pipeline.ledger.upsert import upsert

KINDS = tuple(
    verdict.value
    for verdict in (
        Verdict.LACKING,
        Verdict.IN_DOUBT,
        Verdict.AMBIGUOUS,
        Verdict.UNISSUED,
        Verdict.UNPAID,
        Verdict.OVER_CREDITED,
        Verdict.WITHDRAWN,
    )
)


@dataclass(frozen=True, slots=True)
class Break:
    """An open break, with the purchase that it is about; the amount is in wei."""

    id: str
    kind: str
    verdict: str
    reason: str
    payment_intent: str
    namespace: str | None
    account: str | None
    amount: int
    first_seen: datetime


_OPEN: Final = select(breaks.c.id, breaks.c.payment_intent, breaks.c.kind).where(breaks.c.resolved.is_(None))
_RESOLVING: Final = update(breaks).where(breaks.c.id == bindparam("of"))
_ORPHANED: Final = breaks.c.payment_intent.not_in(select(purchases.c.payment_intent))
_RESOLVING_ORPHANS: Final = (
    update(breaks)
    .where(breaks.c.resolved.is_(None), _ORPHANED)
    .values(resolved=bindparam("at"), resolution="gone")
)


def break_id(payment_intent: str, kind: str) -> str:
    """Name a break: always the same for a purchase and a kind."""
    return f"brk_{sha256(f'{kind}:{payment_intent}'.encode()).hexdigest()[:12]}"


def update_breaks(connection: Connection, verdicts: Sequence[Mapping[str, Any]], at: datetime) -> None:
    """Open the breaks that changed verdicts mean, and resolve those that they end."""
    if not verdicts:
        return
    wanted = {
        row["payment_intent"]: row["verdict"]
        for row in verdicts
        if is_break(Verdict(row["verdict"]), Reason[row["reason"].upper()])
    }
    _resolve_others(connection, verdicts, wanted, at)
    still_open = _open_ids(connection)
    opened = [
        {
            "id": name,
            "payment_intent": payment_intent,
            "kind": kind,
            "first_seen": at,
            "resolved": None,
            "resolution": None,
        }
        for payment_intent, kind in wanted.items()
        if (name := break_id(payment_intent, kind)) not in still_open
    ]
    upsert(connection, breaks, opened)


def resolve_orphans(connection: Connection, at: datetime) -> None:
    """Resolve the breaks of purchases that are no purchases any more."""
    connection.execute(_RESOLVING_ORPHANS, {"at": at})


def open_breaks(connection: Connection, kind: str | None = None) -> list[Break]:
    """The open breaks, oldest first."""
    chosen = joined().where(breaks.c.resolved.is_(None)).order_by(breaks.c.first_seen, breaks.c.id)
    if kind is not None:
        chosen = chosen.where(breaks.c.kind == kind)
    return [break_of(row) for row in connection.execute(chosen)]


def find_break(connection: Connection, name: str) -> Break | None:
    """Read an open break by its id."""
    row = connection.execute(joined().where(breaks.c.id == name, breaks.c.resolved.is_(None))).first()
    return break_of(row) if row else None


def payment_of_break(connection: Connection, name: str) -> str | None:
    """The PaymentIntent of a break, open or resolved, by the break's id."""
    return connection.execute(select(breaks.c.payment_intent).where(breaks.c.id == name)).scalar()


def count_breaks(connection: Connection) -> dict[str, int]:
    """How many breaks of each kind are open; all of the kinds are named."""
    counted = select(breaks.c.kind, func.count()).where(breaks.c.resolved.is_(None)).group_by(breaks.c.kind)
    found: dict[str, int] = dict(connection.execute(counted).all())
    return {kind: found.get(kind, 0) for kind in KINDS}


def joined() -> Select[Any]:
    """Breaks with what is shown of their purchases."""
    p = purchases.c
    return select(
        breaks.c.id,
        breaks.c.kind,
        breaks.c.first_seen,
        p.verdict,
        p.reason,
        p.payment_intent,
        p.namespace,
        p.account,
        p.entitlement,
    ).join(purchases, p.payment_intent == breaks.c.payment_intent)


def break_of(row: Row[Any]) -> Break:
    """Read a break from a row of `joined`."""
    return Break(
        id=row.id,
        kind=row.kind,
        verdict=row.verdict,
        reason=row.reason,
        payment_intent=row.payment_intent,
        namespace=row.namespace,
        account=row.account,
        amount=row.entitlement,
        first_seen=row.first_seen,
    )


def _open_ids(connection: Connection) -> set[str]:
    return set(connection.execute(_OPEN).scalars())


def _resolve_others(
    connection: Connection, verdicts: Iterable[Mapping[str, Any]], wanted: Mapping[str, str], at: datetime
) -> None:
    """Resolve the open breaks of judged purchases whose verdict is another now."""
    judged = {row["payment_intent"]: row for row in verdicts}
    for row in connection.execute(_OPEN).all():
        verdict = judged.get(row.payment_intent)
        if verdict is not None and wanted.get(row.payment_intent) != row.kind:
            ended = {"resolved": at, "resolution": f"{verdict['verdict']}:{verdict['reason']}"[:64]}
            connection.execute(_RESOLVING, {"of": row.id, **ended})
