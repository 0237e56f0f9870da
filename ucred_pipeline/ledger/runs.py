"""Runs: what each was asked for, how it ended, and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.schema import runs

#: The job that reads everything: only its runs tell how fresh the figures are.
RECONCILIATION: Final = "reconciliation"


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


def last_run(connection: Connection, now: datetime, *outcomes: Outcome) -> Run | None:
    """The newest reconciliation, or the newest that ended so.

    One that lies ahead of now, by a clock that was ahead, hides none that does not.
    """
    moment = func.coalesce(runs.c.finished, runs.c.began) if outcomes else runs.c.began
    chosen = select(runs).where(runs.c.job == RECONCILIATION).order_by(runs.c.began.desc()).limit(1)
    if outcomes:
        chosen = chosen.where(runs.c.outcome.in_(outcomes))
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
