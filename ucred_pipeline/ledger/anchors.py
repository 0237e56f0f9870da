"""Anchors: accounts whose balance shows whether the indexer still remembers what it acknowledged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, insert, select, update

from ucred_pipeline.domain.corrections import AttemptState, EpochAnchor
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.safety import THE_EPOCH, Signed, current_epoch
from ucred_pipeline.ledger.schema import attempts, balances, corrections, epoch_anchors

_MOST: Final = 5
_SENT: Final = select(epoch_anchors).where(epoch_anchors.c.epoch == THE_EPOCH)
_RECEIPTS: Final = (
    select(attempts.c.account, attempts.c.new_balance, attempts.c.balance_before, attempts.c.amount)
    .join(corrections, corrections.c.id == attempts.c.correction)
    .where(attempts.c.state == AttemptState.APPLIED, corrections.c.epoch == THE_EPOCH)
    .order_by(attempts.c.began.desc())
    .limit(_MOST)
)
_SEEN: Final = (
    select(balances.c.account, balances.c.wei)
    .where(balances.c.wei != 0)
    .order_by(balances.c.began.desc())
    .limit(_MOST)
)
_WITNESSES: Final = select(attempts.c.witness).where(
    attempts.c.state == AttemptState.IN_DOUBT, attempts.c.witness.is_not(None)
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """An account that must hold at least so many wei; one of our own alone decides."""

    account: str
    wei: int
    is_ours: bool = False


def anchors(connection: Connection) -> list[Anchor]:
    """The epoch's own anchors, the accounts of the newest confirmed corrections, then of balances seen."""
    known = {anchor.account: anchor for anchor in acknowledged(connection)}
    if len(known) < _MOST:
        for anchor in _seen(connection):
            known.setdefault(anchor.account, anchor)
    return list(known.values())[:_MOST]


def acknowledged(connection: Connection) -> list[Anchor]:
    """What the indexer said itself that it holds: the epoch's own anchors, then the newest receipts."""
    known: dict[str, Anchor] = {}
    for anchor in (*_own(connection), *_receipts(connection)):
        known.setdefault(anchor.account, anchor)
    return list(known.values())


def is_anchored(connection: Connection) -> bool:
    """Whether the present epoch has an anchor that the indexer acknowledged."""
    return bool(_own(connection))


def begin_anchor(connection: Connection, anchor: EpochAnchor, signed: Signed) -> None:
    """Write down, before it is sent, that an anchor may take effect; `signed.reason` is the run."""
    row = {"account": anchor.account, "epoch": current_epoch(connection), "run_id": signed.reason}
    connection.execute(insert(epoch_anchors).values(**row, memo=anchor.memo, began=signed.at))
    _tell(connection, anchor, "sending", signed)


def acknowledge_anchor(connection: Connection, anchor: EpochAnchor, signed: Signed) -> None:
    """Keep that the indexer acknowledged an anchor: from now on it must be there."""
    chosen = epoch_anchors.c.account == anchor.account
    connection.execute(update(epoch_anchors).where(chosen).values(acknowledged=signed.at))
    _tell(connection, anchor, "acknowledged", signed)


def sent_anchors(connection: Connection) -> list[tuple[EpochAnchor, datetime | None]]:
    """The anchors of the present epoch, also those that nobody acknowledged, and when each was."""
    return [(EpochAnchor(row.account, row.memo), row.acknowledged) for row in connection.execute(_SENT)]


def _tell(connection: Connection, anchor: EpochAnchor, event: str, signed: Signed) -> None:
    told = {"memo": anchor.memo, "run": signed.reason}
    record(connection, Entry(signed.at, signed.actor, f"anchor:{anchor.account}", event, told))


def witnesses(connection: Connection) -> list[str]:
    """The accounts that bear witness for the requests that are in doubt."""
    return sorted({account for account in connection.execute(_WITNESSES).scalars() if account is not None})


def forgotten(known: Sequence[Anchor], held: Mapping[str, int], *, debits_possible: bool) -> list[Anchor]:
    """The anchors that show that the indexer forgot.

    One is enough; where customers spend, half of them, or the one that only we can spend.
    """
    lower = [anchor for anchor in known if held[anchor.account] < anchor.wei]
    decides = not debits_possible or any(anchor.is_ours for anchor in lower)
    needed = 1 if decides else max(1, (len(known) + 1) // 2)
    return lower if len(lower) >= needed else []


def _own(connection: Connection) -> list[Anchor]:
    return [
        Anchor(anchor.account, anchor.amount, is_ours=True)
        for anchor, acknowledged in sent_anchors(connection)
        if acknowledged is not None
    ]


def _receipts(connection: Connection) -> list[Anchor]:
    """What the newest credits that took effect left; one settled later left at least its own amount more."""
    return [
        Anchor(row.account, row.balance_before + row.amount if row.new_balance is None else row.new_balance)
        for row in connection.execute(_RECEIPTS)
    ]


def _seen(connection: Connection) -> list[Anchor]:
    return [Anchor(row.account, row.wei) for row in connection.execute(_SEEN)]
