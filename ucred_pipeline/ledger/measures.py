"""Measures of the mint, counted in the ledger: each says its two numbers, not only a share."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil, inf
from typing import Final

from sqlalchemy import Connection, and_, func, or_, select

from ucred_pipeline.domain.corrections import CorrectionState
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.mints import OWED, latency_us
from ucred_pipeline.ledger.schema import attempts, corrections, purchases

#: A place among many is a product of floats, which may come out a hair above a whole number.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @property
    def ratio(self) -> float | None:
        """The share; None of nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def missed(self) -> int:
        """How many are not among the part."""
        return self.whole - self.part

    def is_below(self, percent: float, *, least: int) -> bool:
        """Whether the share is below a limit; exactly at it is not, and of too few nothing is said."""
        return self.whole >= least and self.missed * 100 > (100 - percent) * self.whole


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


def oldest_doubt(connection: Connection) -> datetime | None:
    """When the oldest request that is still in doubt was sent."""
    open_doubt = attempts.c.state.in_(["in_doubt", "sending"])
    return connection.execute(select(func.min(attempts.c.began)).where(open_doubt)).scalar()
