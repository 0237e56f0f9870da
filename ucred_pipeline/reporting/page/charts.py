"""The charts: every point is what the alert would have seen then, over the alert's own window."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import inf
from typing import Final, Self

from ucred_pipeline.domain.thresholds import MINT_SUCCESS, Reading, Share
from ucred_pipeline.reporting.mint_rate import percent
from ucred_pipeline.reporting.page.words import latency, minute, window
from ucred_pipeline.settings import Thresholds

_US: Final = 1_000_000


class Span(StrEnum):
    """How far back the charts look, and how far apart their points are: some 50, each a row of the page."""

    length: timedelta
    step: timedelta
    text: str

    def __new__(cls, value: str, length: timedelta, step: timedelta, text: str) -> Self:
        """Keep the lengths beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.length, member.step, member.text = length, step, text
        return member

    SIX_HOURS = "6h", timedelta(hours=6), timedelta(minutes=10), "6 h"
    DAY = "24h", timedelta(hours=24), timedelta(minutes=30), "24 h"
    WEEK = "7d", timedelta(days=7), timedelta(hours=4), "7 d"
    MONTH = "30d", timedelta(days=30), timedelta(hours=12), "30 d"


@dataclass(frozen=True, slots=True)
class Point:
    """What the alert would have seen at a moment; latencies are in seconds, None where no log tells."""

    at: datetime
    share: Share
    median: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: what it shows in a sentence, and its points, the oldest first."""

    name: str
    title: str
    about: str
    sentence: str
    limit: float
    limit_told: str
    points: Sequence[Point]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.points


def success_chart(points: Sequence[Point], span: Span, limits: Thresholds) -> Chart:
    """The mint's success over time."""
    over = window(limits.mint_success_window_hours)
    known = [point for point in points if point.share.whole]
    floor = f"{limits.mint_success_percent:g}%"
    return Chart(
        name="success",
        title="Mint success",
        about=f"Share of the mints of the {over} before each moment that worked, as the alert sees it.",
        sentence=_success_told(known, span, limits) if known else _nothing(span, over),
        limit=limits.mint_success_percent,
        limit_told=f"alert floor {floor}",
        points=known,
    )


def _success_told(points: Sequence[Point], span: Span, limits: Thresholds) -> str:
    lowest = min(points, key=lambda point: (point.share.ratio or 0, point.at))
    below = [point for point in points if MINT_SUCCESS.is_bad(Reading(share=point.share), limits.by_key)]
    floor = f"{limits.mint_success_percent:g}%"
    held = (
        f"It was below {floor} at {len(below)} of {len(points)} points."
        if below
        else f"It stayed at {floor} or above."
    )
    if all(point.share.whole < limits.mint_success_from_purchases for point in points):
        held = (
            f"Fewer than {limits.mint_success_from_purchases} mints are too few to hold it against {floor}."
        )
    return (
        f"In the last {span.text} it went from {percent(points[0].share)} to {percent(points[-1].share)}; "
        f"the lowest was {percent(lowest.share)}, at {minute(lowest.at)} UTC. {held}"
    )


def latency_chart(points: Sequence[Point], span: Span, limits: Thresholds) -> Chart:
    """The mint's latency over time."""
    over = window(limits.mint_success_window_hours)
    known = [point for point in points if point.p95 is not None]
    none = "No log tells when credits arrived." if points else _nothing(span, over)
    return Chart(
        name="latency",
        title="Mint latency",
        about=f"From certificate to credit, over the {over} before each moment; a missing one is the latest.",
        sentence=_latency_told(known, span, limits) if known else none,
        limit=limits.mint_latency_s,
        limit_told=f"alert limit {limits.mint_latency_s:g} s",
        points=known,
    )


def _latency_told(points: Sequence[Point], span: Span, limits: Thresholds) -> str:
    worst = max(points, key=_p95)
    above = sum(_p95(point) > limits.mint_latency_s for point in points)
    limit = f"{limits.mint_latency_s:g} s"
    held = (
        f"It was above {limit} at {above} of {len(points)} points."
        if above
        else f"It stayed at {limit} or below."
    )
    return (
        f"In the last {span.text} the 95th percentile went from {latency(points[0].p95)} to "
        f"{latency(points[-1].p95)}; the highest was {latency(worst.p95)}, at {minute(worst.at)} UTC. {held}"
    )


def _p95(point: Point) -> float:
    return inf if point.p95 is None else point.p95


def _nothing(span: Span, over: str) -> str:
    return f"No purchase was owed a credit in the last {span.text}, nor in the {over} before."


def small_line(values: Sequence[float]) -> list[float]:
    """Scale values between 0 and 1, for a small line; what is missing is at the top."""
    finite = [value for value in values if value != inf]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    reach = (high - low) or 1.0
    return [1.0 if value == inf else (value - low) / reach for value in values]


def success_line(points: Sequence[Point]) -> list[float]:
    """The small line of the mint's success."""
    return small_line([point.share.ratio for point in points if point.share.ratio is not None])


def latency_line(points: Sequence[Point]) -> list[float]:
    """The small line of the mint's latency."""
    return small_line([_p95(point) for point in points if point.p95 is not None])
