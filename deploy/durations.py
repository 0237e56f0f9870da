"""Durations as Prometheus and Alertmanager write them, and as people do."""

from datetime import timedelta

from ucred_pipeline.reporting.wording import lasting

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MINUTE_S = 60


def duration(time: timedelta) -> str:
    """Write a duration in the largest unit that divides it: 90 minutes are 90m."""
    seconds = int(time.total_seconds())
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def said(seconds: float) -> str:
    """Say how long, for people."""
    return lasting(seconds) if seconds >= _MINUTE_S else f"{seconds:g} s"
