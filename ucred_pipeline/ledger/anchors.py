"""Anchors: accounts whose balance shows whether the indexer still remembers what it acknowledged."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from ucred_pipeline.domain.corrections import AttemptState
from ucred_pipeline.ledger.safety import current_epoch
from ucred_pipeline.ledger.schema import attempts, balances, corrections

_MOST: Final = 5


@dataclass(frozen=True, slots=True)
class Anchor:
    """An account that must hold at least so many wei."""

    account: str
    wei: int


def anchors(connection: Connection) -> list[Anchor]:
    """The accounts of the newest confirmed corrections, at most five; before there is one, balances seen."""
    return _receipts(connection) or _seen(connection)


def _receipts(connection: Connection) -> list[Anchor]:
    chosen = (
        select(attempts.c.account, attempts.c.new_balance)
        .join(corrections, corrections.c.id == attempts.c.correction)
        .where(
            attempts.c.state == AttemptState.APPLIED,
            attempts.c.new_balance.is_not(None),
            corrections.c.epoch == current_epoch(connection),
        )
        .order_by(attempts.c.finished.desc())
        .limit(_MOST)
    )
    return [Anchor(row.account, row.new_balance) for row in connection.execute(chosen)]


def _seen(connection: Connection) -> list[Anchor]:
    chosen = select(balances.c.account, balances.c.wei).order_by(balances.c.began.desc()).limit(_MOST * 20)
    held = [Anchor(row.account, row.wei) for row in connection.execute(chosen) if row.wei > 0]
    return held[:_MOST]
