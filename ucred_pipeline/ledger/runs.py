"""Runs: what each was asked for, how it ended, and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, exists, func, insert, select, update

from ucred_pipeline.domain.runs import DECIDED, FAILED, Outcome
from ucred_pipeline.ledger.reads import ALWAYS_NEEDED
from ucred_pipeline.ledger.schema import reads, runs

#: The job that reads everything: only its runs tell how fresh the figures are.
RECONCILIATION: Final = "reconciliation"
#: Reconciliations that came to their end, and read what they stand on: a run of some of the steps may not.
_RECONCILED: Final = and_(
    runs.c.job == RECONCILIATION,
    runs.c.outcome.in_(DECIDED),
    *(
        exists().where(reads.c.run_id == runs.c.id, reads.c.source == source, reads.c.closed)
        for source in ALWAYS_NEEDED
    ),
)
_ENDED: Final = func.coalesce(runs.c.finished, runs.c.began)


@dataclass(frozen=True, slots=True)
class Run:
    """One run; `since` and `until` bound the days that it plans for, `applied` says whether it might send."""

    id: str
    began: datetime
    finished: datetime | None
    applied: bool
    since: datetime | None
    until: datetime | None
    outcome: Outcome
    detail: str
    summary: Mapping[str, Any]
    job: str = RECONCILIATION


def begin_run(connection: Connection, run: Run) -> None:
    """Keep that a run has begun; one that is there already goes on."""
    if find_run(connection, run.id) is None:
        connection.execute(
            insert(runs).values({name: getattr(run, name) for name in Run.__dataclass_fields__})
        )


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended, and its figures."""

    at: datetime
    outcome: Outcome
    detail: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)


def end_run(connection: Connection, run_id: str, end: End) -> None:
    """Keep how a run ended."""
    ended = {"finished": end.at, "outcome": end.outcome, "detail": end.detail, "summary": dict(end.summary)}
    connection.execute(update(runs).where(runs.c.id == run_id).values(ended))


def find_run(connection: Connection, run_id: str) -> Run | None:
    """Read a run."""
    row = connection.execute(select(runs).where(runs.c.id == run_id)).mappings().first()
    return _run(row) if row else None


def last_run(connection: Connection, now: datetime) -> Run | None:
    """The newest reconciliation, however far it has come."""
    return _newest(connection, now, runs.c.began, runs.c.job == RECONCILIATION)


def last_ended(connection: Connection, now: datetime) -> Run | None:
    """The newest reconciliation that has ended, well or not."""
    ended = runs.c.outcome.in_((*DECIDED, *FAILED))
    return _newest(connection, now, _ENDED, (runs.c.job == RECONCILIATION) & ended)


def last_reconciled(connection: Connection, now: datetime) -> Run | None:
    """The newest reconciliation that read everything and came to its end."""
    return _newest(connection, now, _ENDED, _RECONCILED)


def _newest(
    connection: Connection, now: datetime, moment: ColumnElement[datetime], wanted: ColumnElement[bool]
) -> Run | None:
    """One that lies ahead of now, by a clock that was ahead, hides none that does not."""
    chosen = select(runs).where(wanted).order_by(runs.c.began.desc()).limit(1)
    row = connection.execute(chosen.where(moment <= now)).mappings().first()
    row = row or connection.execute(chosen).mappings().first()
    return _run(row) if row else None


def running_runs(connection: Connection) -> list[Run]:
    """The runs of every job that have not said how they ended, oldest first."""
    chosen = select(runs).where(runs.c.outcome == Outcome.RUNNING).order_by(runs.c.began)
    return [_run(row) for row in connection.execute(chosen).mappings()]


def _run(row: RowMapping) -> Run:
    told = {name: row[name] for name in Run.__dataclass_fields__}
    return Run(**told | {"outcome": Outcome(row["outcome"])})


def recent_runs(connection: Connection, count: int) -> list[Run]:
    """The newest runs, the newest first."""
    chosen = select(runs).order_by(runs.c.began.desc()).limit(count)
    return [_run(row) for row in connection.execute(chosen).mappings()]
