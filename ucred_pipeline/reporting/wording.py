"""How amounts, times, ages and numbers are worded, the same everywhere."""

from datetime import datetime, timedelta
from typing import Final

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.domain.money import format_ucred

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
#: Currencies whose smallest unit is the whole one, by Stripe's documentation.
_WITHOUT_DECIMALS: Final = frozenset(
    (
        *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
        *("pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"),
    )
)


def iso(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC, to the second, for programs."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def at(moment: datetime) -> str:
    """Write a moment in UTC, to the second, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def seconds_since(moment: datetime, now: datetime) -> int:
    """How old a moment is, in whole seconds; one that lies ahead is not old at all."""
    return max(0, (to_micros(now) - to_micros(moment)) // 1_000_000)


def lasting(seconds: float) -> str:
    """Say how long: the largest unit that fits, and the next where it tells something."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * _DAY:
        hours, rest = divmod(whole, _HOUR)
        minutes = rest // _MINUTE
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{whole // _DAY} days"


def span(length: timedelta) -> str:
    """Say how long a time is."""
    return lasting(length.total_seconds())


def amount(wei: int) -> str:
    """Say an amount in UCRED and, exactly, in wei."""
    return f"{format_ucred(wei)} UCRED ({wei} wei)"


def ucred(wei: int) -> str:
    """Say an amount in UCRED."""
    return f"{format_ucred(wei)} UCRED"


def money(smallest: int, currency: str) -> str:
    """Say an amount of money, which Stripe gives in the currency's smallest unit."""
    if currency.lower() in _WITHOUT_DECIMALS:
        return f"{smallest:,} {currency.upper()}"
    return f"{smallest // 100:,}.{smallest % 100:02d} {currency.upper()}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Say how many, in the right number: 1 purchase, 2 purchases."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def quoted(word: str) -> str:
    """Give a word as a shell takes it whole, in a form that both sh and PowerShell read."""
    return word if word.replace(".", "").replace("-", "").replace("_", "").isalnum() else f"'{word}'"
