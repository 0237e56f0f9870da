"""The points of the charts: what the alert would have seen at each of their moments."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.domain.thresholds import Share
from ucred_pipeline.ledger.measures import place_of
from ucred_pipeline.ledger.mint_series import mints_since
from ucred_pipeline.ledger.mints import NEVER
from ucred_pipeline.reporting.page.charts import Point, Span
from ucred_pipeline.settings import Thresholds

_US: Final = 1_000_000
_MEDIAN: Final = 0.5
_P95: Final = 0.95


def read_points(connection: Connection, span: Span, limits: Thresholds, now: datetime) -> list[Point]:
    """Read the points of both charts."""
    over = timedelta(hours=limits.mint_success_window_hours)
    mints = mints_since(connection, now - span.length - over)
    if not len(mints):
        return []
    issued, minted, arrived = mints[np.argsort(mints[:, 0], kind="stable")].T
    seconds = np.where(arrived == NEVER, np.nan, (arrived - issued) / _US)
    worked = np.concatenate(([0], np.cumsum(minted)))
    logged = not bool(np.isnan(seconds).all())
    return list(_points(issued, worked, seconds if logged else None, _moments(span, now), over))


def _moments(span: Span, now: datetime) -> list[datetime]:
    steps = int(span.length / span.step)
    return [now - span.step * back for back in range(steps, -1, -1)]


def _points(
    issued: NDArray[np.int64],
    worked: NDArray[np.int64],
    seconds: NDArray[np.float64] | None,
    moments: Sequence[datetime],
    over: timedelta,
) -> Iterator[Point]:
    """Give what the window before each moment holds; the newest has all that the ledger has."""
    for moment in moments:
        first = int(np.searchsorted(issued, to_micros(moment - over)))
        newest = moment == moments[-1]
        last = len(issued) if newest else int(np.searchsorted(issued, to_micros(moment)))
        share = Share(int(worked[last] - worked[first]), last - first)
        inside = None if seconds is None else seconds[first:last]
        yield Point(moment, share, *_quantiles(inside, (_MEDIAN, _P95)))


def _quantiles(seconds: NDArray[np.float64] | None, quantiles: Sequence[float]) -> tuple[float | None, ...]:
    """Give quantiles as the alert takes them: a credit that is missing is later than any."""
    if seconds is None or np.isnan(seconds).all():
        return tuple(None for _ in quantiles)
    places = [place_of(quantile, len(seconds)) for quantile in quantiles]
    found = np.partition(seconds, places)[places]  # what is missing is sorted to the end
    return tuple(inf if np.isnan(value) else float(value) for value in found)
