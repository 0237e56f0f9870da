"""Measures, counted in the ledger: a share says its two numbers, and an age each thing that is so old."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, inf
from typing import Any, Final, Self

from sqlalchemy import Connection, Row, and_, func, or_, select

from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.domain.limits import Excess
from ucred_pipeline.domain.runs import DECIDED, FAILED, Outcome
from ucred_pipeline.domain.thresholds import Measure, Reading, Share
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.alerts import waiting_since
from ucred_pipeline.ledger.breaks import break_id, count_breaks, open_breaks
from ucred_pipeline.ledger.mints import OWED, latency_us
from ucred_pipeline.ledger.plans import PlanState
from ucred_pipeline.ledger.runs import RECONCILIATION, last_reconciled
from ucred_pipeline.ledger.safety import HoldKind, open_holds, read_breaker
from ucred_pipeline.ledger.schema import attempts, corrections, plan_items, plans, purchases, runs
from ucred_pipeline.ledger.sender_lock import ANOTHER_SENDER

#: A place among many is a product of floats, which may come out a hair above a whole number.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class RetryQueue:
    """Corrections that are to be sent again, or in doubt."""

    size: int
    oldest: datetime | None


def mint_success(connection: Connection, since: datetime) -> Share:
    """Of the purchases issued since then, past their grace period and owed: those the payments API credited.

    What was credited by a correction, or is in doubt, is no success.
    """
    chosen = (
        select(purchases.c.minted, func.count())
        .where(purchases.c.minted.is_not(None), purchases.c.issued >= since)
        .group_by(purchases.c.minted)
    )
    counts = {bool(success): count for success, count in connection.execute(chosen)}
    return Share(counts.get(True, 0), sum(counts.values()))


def coverage(connection: Connection) -> Share:
    """Of all purchases owed a credit: those that have it by now, corrections included."""
    chosen = (
        select(purchases.c.verdict, func.count()).where(purchases.c.verdict.in_(OWED)).group_by("verdict")
    )
    counts: dict[str | None, int] = dict(connection.execute(chosen).all())
    has_it = counts.get(Verdict.CREDITED, 0) + counts.get(Verdict.OVER_CREDITED, 0)
    return Share(has_it, sum(counts.values()))


def correction_success(connection: Connection) -> Share:
    """Of all corrections that were attempted: those that were confirmed."""
    tried = select(attempts.c.correction).distinct()
    chosen = select(corrections.c.state, func.count()).where(corrections.c.id.in_(tried)).group_by("state")
    counts: dict[str, int] = dict(connection.execute(chosen).all())
    return Share(counts.get(CorrectionState.CONFIRMED, 0), sum(counts.values()))


def mint_latency_s(connection: Connection, since: datetime, quantile: float) -> float | None:
    """Seconds from certificate to credit by the indexer's log; a credit that is missing is later than any.

    None where no log tells, infinity where so many are missing that the quantile is one of them.
    """
    in_window = and_(purchases.c.minted.is_not(None), purchases.c.issued >= since)
    counting = select(func.count(), func.count(purchases.c.arrived)).where(in_window)
    owed, arrived = connection.execute(counting).one()
    if not arrived:
        return None
    place = place_of(quantile, owed)
    if place >= arrived:
        return inf
    chosen = select(latency_us()).where(in_window, purchases.c.arrived.is_not(None))
    found: int = connection.execute(chosen.order_by(latency_us()).offset(place).limit(1)).scalar_one()
    return found / 1_000_000


def place_of(quantile: float, count: int) -> int:
    """Which of so many values, in order and counted from 0, is a quantile: none that is lower would do."""
    return ceil(quantile * (count - 1) - _ROUNDING)


def retry_queue(connection: Connection) -> RetryQueue:
    """The corrections that failed and are to be sent again, or are in doubt."""
    waiting = or_(
        corrections.c.state.in_([CorrectionState.IN_DOUBT, CorrectionState.SENDING]),
        and_(corrections.c.state == CorrectionState.PLANNED, corrections.c.failures > 0),
    )
    row = connection.execute(select(func.count(), func.min(corrections.c.created)).where(waiting)).one()
    return RetryQueue(row[0], row[1])


def doubts(connection: Connection) -> dict[str, datetime]:
    """When the requests that are still in doubt were sent, by the ids of their purchases' breaks."""
    began = (
        select(corrections.c.payment_intent, func.min(attempts.c.began))
        .join(corrections, corrections.c.id == attempts.c.correction)
        .where(attempts.c.state.in_([AttemptState.IN_DOUBT, AttemptState.SENDING]))
        .group_by(corrections.c.payment_intent)
    )
    return {break_id(name, Verdict.IN_DOUBT): at for name, at in connection.execute(began)}


@dataclass(frozen=True, slots=True)
class Windows:
    """How far back the measures of a time look."""

    mint: timedelta
    failed_runs: timedelta

    @classmethod
    def of(cls, mint_hours: int, failed_runs_hours: int) -> Self:
        """Make windows of so many hours."""
        return cls(timedelta(hours=mint_hours), timedelta(hours=failed_runs_hours))


def read_measures(
    connection: Connection, wanted: Iterable[Measure], windows: Windows, now: datetime
) -> dict[Measure, Reading]:
    """Read measures at one moment: the one place for the checks, the alerts, the page and the exporter."""
    at = _Moment(connection, windows, now)
    return {measure: _READ[measure](at) for measure in wanted}


@dataclass(frozen=True, slots=True)
class _Moment:
    connection: Connection
    windows: Windows
    now: datetime

    def age_s(self, since: datetime) -> float:
        """How old something is; what a clock wrote that was ahead is as old as it lies ahead, or unseen."""
        return abs(self.now - since) / timedelta(seconds=1)

    def ages(self, since: Mapping[str, datetime]) -> Reading:
        each = {name: self.age_s(at) for name, at in since.items()}
        return Reading(max(each.values(), default=0.0), each=each)


def _counted(kind: Verdict) -> "_Read":
    return lambda at: Reading(count_breaks(at.connection)[kind])


def _missing(at: _Moment) -> Reading:
    lacking = open_breaks(at.connection, Verdict.LACKING)
    return Reading(len(lacking), wei=sum(one.amount for one in lacking))


def _missing_age(at: _Moment) -> Reading:
    return at.ages({one.id: one.first_seen for one in open_breaks(at.connection, Verdict.LACKING)})


def _over_credits(at: _Moment) -> Reading:
    found = open_breaks(at.connection, Verdict.OVER_CREDITED)
    return Reading(len(found), each={one.id: 1 for one in found})


def _reconciliation_age(at: _Moment) -> Reading:
    """How long ago one that read everything came to its end; where none has, since when the first runs.

    An end that lies ahead counts for nothing: until the clock has caught up it would hide every silence.
    """
    ended = last_reconciled(at.connection, at.now)
    since = ended.finished if ended else None
    if since is None or since > at.now:
        first = select(func.min(runs.c.began)).where(runs.c.job == RECONCILIATION)
        since = at.connection.execute(first).scalar()
    return Reading(at.age_s(since) if since else None)


def _failed_runs(at: _Moment) -> Reading:
    ended = runs.c.finished
    failed = runs.c.outcome.in_(FAILED) & (ended > at.now - at.windows.failed_runs) & (ended <= at.now)
    return Reading(at.connection.execute(select(func.count()).select_from(runs).where(failed)).scalar_one())


def _holds(at: _Moment) -> Reading:
    kinds = [hold.kind for hold in open_holds(at.connection) if hold.kind not in _TOLD_BY_THEMSELVES]
    return Reading(len(kinds), each={kind.value: 1 for kind in kinds})


def _hold_of(kind: HoldKind) -> "_Read":
    return lambda at: Reading(sum(hold.kind is kind for hold in open_holds(at.connection)))


def _gates_closed(at: _Moment) -> Reading:
    """Why the newest run that had something to send did not, where nothing else tells it already.

    That another process sends is no trouble once; it is one where run after run finds it so.
    """
    newest = (
        select(runs)
        .where(runs.c.applied, runs.c.outcome.in_(DECIDED), runs.c.began <= at.now)
        .order_by(runs.c.began.desc())
        .limit(_RUNS_LOOKED_AT)
    )
    looked = [row for row in at.connection.execute(newest) if _would_have_told(row)][:_STUCK_AFTER]
    gates = [row.summary["hold"] if row.outcome == Outcome.HELD else None for row in looked]
    gate = gates[0] if gates else None
    if gate is None or not _TOLD_ELSEWHERE.isdisjoint(gate.split(", ")):
        return Reading(0)
    if gate == ANOTHER_SENDER and gates != [ANOTHER_SENDER] * _STUCK_AFTER:
        return Reading(0)
    return Reading(1, each={gate: 1})


def _would_have_told(run: Row[Any]) -> bool:
    """Whether a run says anything of the gates: it had something to send, or looked at all that is open."""
    if not run.summary:
        return False
    over_all = run.job == RECONCILIATION and run.since is None and run.until is None
    return over_all or run.summary["corrections"]["planned"] > 0


def _plans_withheld(at: _Moment) -> Reading:
    """The withheld plans that still name what lacks, and the amount of the largest."""
    lacks = (
        select(plan_items.c.payment_intent)
        .join(purchases, purchases.c.payment_intent == plan_items.c.payment_intent)
        .where(plan_items.c.plan == plans.c.hash, purchases.c.verdict == Verdict.LACKING)
    )
    chosen = select(plans.c.wei).where(plans.c.state == PlanState.WITHHELD, lacks.exists())
    amounts = at.connection.execute(chosen).scalars().all()
    return Reading(len(amounts), wei=max(amounts, default=0))


def _breaker_openings(at: _Moment) -> Reading:
    found = read_breaker(at.connection)
    return Reading(0 if found.token_refused else found.openings_in_a_row)


_Read = Callable[[_Moment], Reading]
_QUANTILE: Final = 0.95
_TOLD_ELSEWHERE: Final = frozenset({*HoldKind, *Excess, "token_refused"})
#: So many runs in a row that each found another process sending: it is stuck.
_STUCK_AFTER: Final = 3
_RUNS_LOOKED_AT: Final = 200
_TOLD_BY_THEMSELVES: Final = (HoldKind.PERSON, HoldKind.INDEXER_FORGOT)
_READ: Final[Mapping[Measure, _Read]] = {
    Measure.MINT_SUCCESS: lambda at: Reading(share=mint_success(at.connection, at.now - at.windows.mint)),
    Measure.MINT_LATENCY: lambda at: Reading(
        mint_latency_s(at.connection, at.now - at.windows.mint, _QUANTILE)
    ),
    Measure.RETRY_QUEUE: lambda at: Reading(retry_queue(at.connection).size),
    Measure.MISSING_PURCHASES: _missing,
    Measure.MISSING_AGE: _missing_age,
    Measure.OVER_CREDITS: _over_credits,
    Measure.DOUBT_AGE: lambda at: at.ages(doubts(at.connection)),
    Measure.UNISSUED: _counted(Verdict.UNISSUED),
    Measure.UNPAID: _counted(Verdict.UNPAID),
    Measure.AMBIGUOUS: _counted(Verdict.AMBIGUOUS),
    Measure.WITHDRAWN: _counted(Verdict.WITHDRAWN),
    Measure.RECONCILIATION_AGE: _reconciliation_age,
    Measure.FAILED_RUNS: _failed_runs,
    Measure.HOLDS: _holds,
    Measure.HOLDS_BY_PERSONS: _hold_of(HoldKind.PERSON),
    Measure.GATES_CLOSED: _gates_closed,
    Measure.PLANS_WITHHELD: _plans_withheld,
    Measure.BREAKER_OPENINGS: _breaker_openings,
    Measure.TOKEN_REFUSED: lambda at: Reading(int(read_breaker(at.connection).token_refused)),
    Measure.INDEXER_FORGOT: _hold_of(HoldKind.INDEXER_FORGOT),
    Measure.ROUTE_BACKLOG_AGE: lambda at: at.ages(waiting_since(at.connection)),
}
