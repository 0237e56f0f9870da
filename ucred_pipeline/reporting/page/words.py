"""How the page says things: times, ages, amounts, and text that somebody else wrote."""

from datetime import datetime, timedelta
from typing import Final

from ucred_pipeline.domain.money import format_ucred
from ucred_pipeline.reporting.wording import lasting, seconds_since

_CUT: Final = 300
#: Two clocks are never quite the same.
_CLOCKS_DIFFER: Final = timedelta(minutes=1)
_DAY_H: Final = 24
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def shown(text: object, most: int = _CUT) -> str:
    """Give what others wrote, without control codes or signs that turn its direction, and cut."""
    told = str(text)
    plain = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in told[:most])
    return f"{plain} ... ({len(told) - most:,} characters more)" if len(told) > most else plain


def words(name: object) -> str:
    """Write a name of ours as words."""
    return str(name).replace("_", " ")


def minute(moment: datetime) -> str:
    """Write a moment in UTC, to the minute."""
    return f"{moment:%Y-%m-%d %H:%M}"


def lies_ahead(moment: datetime, now: datetime) -> bool:
    """Whether a moment that has been is yet to come, so that a clock is off."""
    return moment - now > _CLOCKS_DIFFER


def ago(moment: datetime, now: datetime) -> str:
    """Say how long ago a moment was; one that lies ahead is told as such."""
    if lies_ahead(moment, now):
        return f"in {lasting((moment - now) / timedelta(seconds=1))} (a clock is off)"
    return f"{lasting(seconds_since(moment, now))} ago"


def age(moment: datetime, now: datetime) -> str:
    """Say how old something is."""
    return "in the future" if lies_ahead(moment, now) else lasting(seconds_since(moment, now))


def ucred(wei: int) -> str:
    """Write an amount in UCRED, with its thousands apart."""
    whole, point, decimals = format_ucred(wei).partition(".")
    return f"{int(whole):,}{point}{decimals} UCRED"


def window(hours: int) -> str:
    """Say how long the alert's own window is."""
    return f"{hours // _DAY_H} d" if hours % _DAY_H == 0 and hours > _DAY_H else f"{hours} h"


def latency(seconds: float | None) -> str:
    """Say how long a credit took; None where no log tells, infinity where it is missing."""
    if seconds is None:
        return "-"
    if seconds == float("inf"):
        return "later than any"
    if seconds < 0:
        return f"{seconds:,.2f} s (clocks differ)"
    size, unit = next((each for each in _UNITS if seconds >= each[0]), (1, "s"))
    return f"{seconds:,.2f} s" if unit == "s" else f"{seconds / size:,.1f} {unit}"
