"""The mint's success rate in words: its two numbers, its limit, and a word for the state."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from ucred_pipeline.domain.thresholds import MINT_SUCCESS, Reading, Share
from ucred_pipeline.ledger.measures import mint_success
from ucred_pipeline.settings import Thresholds


class MintState(StrEnum):
    """A word for how the mint does."""

    GOOD = "good"
    BELOW = "BELOW THE LIMIT"
    TOO_FEW = "too few to tell"
    NONE = "nothing to measure"


@dataclass(frozen=True, slots=True)
class MintRate:
    """So many of so many purchases credited by the payments API itself, held against the limit."""

    share: Share
    limits: Thresholds

    @property
    def state(self) -> MintState:
        """How the mint does; exactly at the limit is good."""
        if self.share.whole == 0:
            return MintState.NONE
        if self.share.whole < self.limits.mint_success_from_purchases:
            return MintState.TOO_FEW
        below = MINT_SUCCESS.is_bad(Reading(share=self.share), self.limits.by_key)
        return MintState.BELOW if below else MintState.GOOD

    @property
    def percent(self) -> str:
        """The rate, rounded down, so that what is below the limit never looks as if it were not."""
        return percent(self.share)

    @property
    def told(self) -> str:
        """The rate in a few words."""
        return f"{self.share.part} of {self.share.whole} ({self.percent}): {self.state}"


def recent_mint_rate(connection: Connection, now: datetime, limits: Thresholds) -> MintRate:
    """The rate within the window of the threshold, which is what alerts look at."""
    since = now - timedelta(hours=limits.mint_success_window_hours)
    return MintRate(mint_success(connection, since), limits)


def percent(share: Share) -> str:
    """Give a share in percent with one decimal, rounded down; a dash for a share of nothing."""
    if not share.whole:
        return "-"
    tenths = share.part * 1000 // share.whole
    return f"{tenths // 10}.{tenths % 10}%"
