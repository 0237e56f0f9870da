"""Limits that hold a plan: how much a run may send by itself before a person looks."""

from dataclasses import dataclass
from enum import StrEnum


class Excess(StrEnum):
    """Which limit a plan is over."""

    CORRECTIONS_PER_RUN = "over_corrections_per_run"
    UCRED_PER_RUN = "over_ucred_per_run"
    UCRED_PER_DAY = "over_ucred_per_day"
    LACKING_SHARE = "over_lacking_share"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force; amounts in wei, the share in percent of the settled purchases."""

    corrections_per_run: int
    wei_per_run: int
    wei_per_day: int
    lacking_percent: float
    from_purchases: int


@dataclass(frozen=True, slots=True)
class Load:
    """What a plan asks for, and the state of affairs that it is measured against."""

    corrections: int
    wei: int
    wei_sent_today: int
    settled: int
    lacking: int


def excesses(load: Load, limits: Limits) -> list[Excess]:
    """Name every limit that a plan is over; an empty plan is over none."""
    if not load.corrections:
        return []
    measured = {
        Excess.CORRECTIONS_PER_RUN: load.corrections > limits.corrections_per_run,
        Excess.UCRED_PER_RUN: load.wei > limits.wei_per_run,
        Excess.UCRED_PER_DAY: load.wei_sent_today + load.wei > limits.wei_per_day,
        Excess.LACKING_SHARE: load.settled >= limits.from_purchases
        and load.lacking * 100 > limits.lacking_percent * load.settled,
    }
    return [excess for excess, is_over in measured.items() if is_over]
