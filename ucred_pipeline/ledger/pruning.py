"""Forgets what nobody needs any more: what was read and which runs there were, long ago.

Nothing that proves a credit is ever forgotten: corrections, attempts, plans, decisions, holds, the history,
and the lines of the logs stay.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from ucred_pipeline.domain.corrections import AttemptState
from ucred_pipeline.ledger.reads import doubt_note
from ucred_pipeline.ledger.schema import attempts, notes, reads, runs


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were forgotten."""

    reads: int
    runs: int
    notes: int


def prune(connection: Connection, before: datetime) -> Pruned:
    """Forget the reads and the runs that ended before; the newest of each source, and what sent, stay."""
    return Pruned(_prune_reads(connection, before), _prune_runs(connection, before), _prune_notes(connection))


def _prune_reads(connection: Connection, before: datetime) -> int:
    newest = select(func.max(reads.c.id)).group_by(reads.c.source, reads.c.closed)
    old = (reads.c.finished < before) & reads.c.id.not_in(newest)
    return connection.execute(delete(reads).where(old)).rowcount


def _prune_runs(connection: Connection, before: datetime) -> int:
    sent = select(attempts.c.run_id)
    old = (runs.c.finished < before) & runs.c.id.not_in(sent)
    return connection.execute(delete(runs).where(old)).rowcount


def _prune_notes(connection: Connection) -> int:
    """Forget the balances that were noted for doubts which are settled by now."""
    a = attempts.c
    doubts = select(a.correction, a.number).where(a.state == AttemptState.IN_DOUBT)
    kept = [doubt_note(f"{row.correction}.{row.number}") for row in connection.execute(doubts)]
    settled = notes.c.name.startswith(doubt_note("")) & notes.c.name.not_in(kept)
    return connection.execute(delete(notes).where(settled)).rowcount
