"""Anchors: accounts whose balance shows whether the indexer still remembers what it acknowledged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from ucred_pipeline.domain.corrections import AttemptState
from ucred_pipeline.ledger.safety import THE_EPOCH
from ucred_pipeline.ledger.schema import attempts, balances, corrections

_MOST: Final = 5
_RECEIPTS: Final = (
    select(attempts.c.account, attempts.c.new_balance, attempts.c.balance_before, attempts.c.amount)
    .join(corrections, corrections.c.id == attempts.c.correction)
    .where(attempts.c.state == AttemptState.APPLIED, corrections.c.epoch == THE_EPOCH)
    .order_by(func.coalesce(attempts.c.finished, attempts.c.began).desc())
    .limit(_MOST)
)
_SEEN: Final = select(balances.c.account, balances.c.wei).order_by(balances.c.began.desc()).limit(_MOST * 20)
_WITNESSES: Final = select(attempts.c.witness).where(
    attempts.c.state == AttemptState.IN_DOUBT, attempts.c.witness.is_not(None)
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """An account that must hold at least so many wei."""

    account: str
    wei: int


def anchors(connection: Connection) -> list[Anchor]:
    """The accounts of the newest confirmed corrections; where they are few, of balances seen."""
    known: dict[str, Anchor] = {}
    for source in (_receipts, _seen):
        if len(known) < _MOST:
            for anchor in source(connection):
                known.setdefault(anchor.account, anchor)
    return list(known.values())[:_MOST]


def witnesses(connection: Connection) -> list[str]:
    """The accounts that bear witness for the requests that are in doubt."""
    return sorted({account for account in connection.execute(_WITNESSES).scalars() if account is not None})


def forgotten(known: Sequence[Anchor], held: Mapping[str, int], *, debits_possible: bool) -> list[Anchor]:
    """The anchors that show that the indexer forgot: one is enough, or half of them where customers spend."""
    lower = [anchor for anchor in known if held[anchor.account] < anchor.wei]
    needed = max(1, (len(known) + 1) // 2) if debits_possible else 1
    return lower if len(lower) >= needed else []


def _receipts(connection: Connection) -> list[Anchor]:
    """What the newest credits that took effect left; one settled later left at least its own amount more."""
    return [
        Anchor(row.account, row.balance_before + row.amount if row.new_balance is None else row.new_balance)
        for row in connection.execute(_RECEIPTS)
    ]


def _seen(connection: Connection) -> list[Anchor]:
    held = [Anchor(row.account, row.wei) for row in connection.execute(_SEEN) if row.wei > 0]
    return held[:_MOST]
