"""The six figures: each with its value, its numbers, its limit, and a word for its state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import inf
from typing import Final, Self

from sqlalchemy import Connection

from ucred_pipeline.domain.thresholds import (
    DOUBTS,
    MINT_LATENCY,
    OVER_CREDITS,
    RETRY_QUEUE,
    Measure,
    Reading,
    Share,
    Threshold,
)
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.break_lists import OpenBreaks
from ucred_pipeline.ledger.measures import doubts, retry_queue
from ucred_pipeline.ledger.purchases import wei_judged_as
from ucred_pipeline.reporting.mint_rate import MintRate, MintState
from ucred_pipeline.reporting.page.charts import Point, latency_line, success_line
from ucred_pipeline.reporting.page.words import age, latency, ucred, window
from ucred_pipeline.reporting.wording import counted, lasting
from ucred_pipeline.settings import Thresholds

_NO_MINTS: Final = (Share(0, 0), None, None)
_MISSING: Final = Threshold(Measure.MISSING_PURCHASES, "missing_purchases")
_MISSING_LONG: Final = Threshold(Measure.MISSING_AGE, "missing_age_s")


class State(StrEnum):
    """A word for how a figure stands, from well to worst."""

    text: str

    def __new__(cls, value: str, text: str) -> Self:
        """Keep the word beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    GOOD = "good", "Good"
    UNKNOWN = "unknown", "No data"
    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the six cards; `line` is drawn small, from 0 at the bottom to 1 at the top.

    `word` stands in place of the state's own where there is one.
    """

    name: str
    title: str
    state: State
    value: str
    of: str
    window: str
    limit: str
    kind: str | None = None
    line: Sequence[float] = ()
    word: str = ""

    def before_judging(self) -> "Figure":
        """The same where nothing has been judged: a count of nothing is no good news."""
        return replace(self, state=State.UNKNOWN, of="nothing is judged yet", word="")


def mint_figures(points: Sequence[Point], limits: Thresholds) -> list[Figure]:
    """Give the two figures of the mint, which are those of the charts' newest point."""
    share, median, p95 = (points[-1].share, points[-1].median, points[-1].p95) if points else _NO_MINTS
    return [
        _success(share, success_line(points), limits),
        _latency(p95, median, latency_line(points), limits),
    ]


def read_figures(
    connection: Connection, breaks: Mapping[str, OpenBreaks], limits: Thresholds, now: datetime
) -> list[Figure]:
    """Read the four figures of the purchases, in the order in which they are shown."""
    return [
        _queue(connection, limits, now),
        _missing(connection, breaks[Verdict.LACKING], limits, now),
        _over_credits(breaks[Verdict.OVER_CREDITED], limits, now),
        _in_doubt(connection, breaks[Verdict.IN_DOUBT], limits, now),
    ]


_MINT_STATES: Final = {
    MintState.GOOD: State.GOOD,
    MintState.BELOW: State.CRITICAL,
    MintState.TOO_FEW: State.UNKNOWN,
    MintState.NONE: State.UNKNOWN,
}


def _success(share: Share, line: Sequence[float], limits: Thresholds) -> Figure:
    rate = MintRate(share, limits)
    is_few = rate.state is MintState.TOO_FEW
    few = ", too few to tell" if is_few else ""
    return Figure(
        name="success",
        title="Mint success",
        state=_MINT_STATES[rate.state],
        value=rate.percent,
        of=f"{rate.share.part:,} of {rate.share.whole:,} mints{few}",
        window=f"last {window(limits.mint_success_window_hours)}",
        limit=f"floor {limits.mint_success_percent:g}%",
        line=line,
        word="Too few" if is_few else "",
    )


def _latency(p95: float | None, median: float | None, line: Sequence[float], limits: Thresholds) -> Figure:
    is_bad = MINT_LATENCY.is_bad(Reading(p95), limits.by_key)
    state = State.UNKNOWN if is_bad is None else State.WARNING if is_bad else State.GOOD
    return Figure(
        name="latency",
        title="Mint latency p95",
        state=state,
        value=latency(p95),
        of="no log tells" if p95 is None else _told_median(p95, median),
        window=f"last {window(limits.mint_success_window_hours)}",
        limit=f"limit {limits.mint_latency_s:g} s",
        line=line,
    )


def _told_median(p95: float, median: float | None) -> str:
    missing = "; too many are missing" if p95 == inf else ""
    return f"median {latency(median)}{missing}"


def _queue(connection: Connection, limits: Thresholds, now: datetime) -> Figure:
    queue = retry_queue(connection)
    waits = "correction waits" if queue.size == 1 else "corrections wait"
    oldest = f", the oldest for {age(queue.oldest, now)}" if queue.oldest else ""
    return Figure(
        name="queue",
        title="Retry queue",
        state=State.INFO if RETRY_QUEUE.is_bad(Reading(queue.size), limits.by_key) else State.GOOD,
        value=f"{queue.size:,}",
        of=f"{waits}{oldest}" if queue.size else "no correction waits",
        window="now",
        limit=f"limit {limits.retry_queue:,}",
    )


def _missing(connection: Connection, found: OpenBreaks, limits: Thresholds, now: datetime) -> Figure:
    state = State.GOOD
    if _MISSING.is_bad(Reading(found.count), limits.by_key):
        is_old = _MISSING_LONG.is_bad(Reading(_age_s(found.oldest, now)), limits.by_key)
        state = State.CRITICAL if is_old else State.WARNING
    owed = f"{ucred(wei_judged_as(connection, Verdict.LACKING))} owed" if found.count else "nothing is owed"
    return Figure(
        name="missing",
        title="Missing credits",
        state=state,
        value=f"{found.count:,}",
        of=owed + _oldest(found, now),
        window="open now",
        limit=f"limit {limits.missing_purchases:,}",
        kind=Verdict.LACKING.value,
    )


def _over_credits(found: OpenBreaks, limits: Thresholds, now: datetime) -> Figure:
    told = counted(found.count, "purchase") + " got more than was owed"
    return Figure(
        name="over",
        title="Over-credits",
        state=State.CRITICAL if OVER_CREDITS.is_bad(Reading(found.count), limits.by_key) else State.GOOD,
        value=f"{found.count:,}",
        of=told + _oldest(found, now) if found.count else "nobody got more than was owed",
        window="open now",
        limit="limit 0",
        kind=Verdict.OVER_CREDITED.value,
    )


def _in_doubt(connection: Connection, found: OpenBreaks, limits: Thresholds, now: datetime) -> Figure:
    unsettled = doubts(connection)
    asked = min(unsettled.values(), default=found.oldest)
    is_old = DOUBTS.is_bad(Reading(_age_s(asked, now)), limits.by_key)
    told = "every credit is known"
    if found.count:
        told = f"{ucred(wei_judged_as(connection, Verdict.IN_DOUBT))} not yet known{_oldest(found, now)}"
    elif unsettled:
        told = f"{counted(len(unsettled), 'purchase')} of another kind with a request that is not settled"
    is_known = not (found.count or unsettled)
    return Figure(
        name="doubt",
        title="In doubt",
        state=State.GOOD if is_known else State.WARNING if is_old else State.INFO,
        value=f"{found.count:,}",
        of=told,
        window="open now",
        limit=f"limit {lasting(limits.doubt_age_s)}",
        kind=Verdict.IN_DOUBT.value,
    )


def _age_s(since: datetime | None, now: datetime) -> float:
    return (now - since) / timedelta(seconds=1) if since else 0.0


def _oldest(found: OpenBreaks, now: datetime) -> str:
    return f", the oldest for {age(found.oldest, now)}" if found.oldest else ""
