"""One look at all that alerts are about: from the measures to what is bad, each in one sentence."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from math import isinf
from typing import Final

from sqlalchemy import Connection

from ucred_pipeline.domain.alert_states import Look
from ucred_pipeline.domain.alerts import CATALOGUE, AlertRule, Observation, safe_label
from ucred_pipeline.domain.money import format_ucred
from ucred_pipeline.domain.thresholds import Measure, Reading, Share, Unit
from ucred_pipeline.ledger.measures import Windows, read_measures
from ucred_pipeline.reporting.mint_rate import percent
from ucred_pipeline.reporting.wording import lasting
from ucred_pipeline.settings import Rules, Thresholds

_ROUTE_LETTERS: Final = 8
_MINUTE_S: Final = 60


def look_at(connection: Connection, rules: Rules, routes: Collection[str], now: datetime) -> Look:
    """Look at every measure; of the routes at those that are in use."""
    limits = rules.thresholds
    windows = Windows.of(limits.mint_success_window_hours, limits.failed_runs_window_hours)
    readings = read_measures(connection, {rule.threshold.measure for rule in CATALOGUE}, windows, now)
    readings[Measure.ROUTE_BACKLOG_AGE] = _of_routes(readings[Measure.ROUTE_BACKLOG_AGE], routes)
    seen = [one for rule in CATALOGUE for one in observe(rule, readings[rule.threshold.measure], limits)]
    return Look(
        seen, frozenset(rule.name for rule in CATALOGUE if is_known(readings[rule.threshold.measure]))
    )


def is_known(reading: Reading) -> bool:
    """Whether a measure could be read."""
    return reading.value is not None or reading.share is not None


def observe(rule: AlertRule, reading: Reading, limits: Thresholds) -> Iterator[Observation]:
    """Say what a reading means for a rule: one thing, or one for each thing that is bad."""
    keys = limits.by_key
    fields = _fields(rule, reading, limits)
    plain = Observation(rule.name, rule.severity, bad=None, told="", fire_after=rule.fire_after)
    if rule.label is None:
        yield replace(plain, bad=rule.threshold.is_bad(reading, keys), told=rule.told.format(**fields))
        return
    for name in rule.threshold.bad_ones(reading, keys):
        label = safe_label(name)
        told = rule.told.format(**fields, each=label if _is_id(label) else label.replace("_", " "))
        yield replace(plain, bad=True, told=told, labels={rule.label: label})


def _is_id(label: str) -> bool:
    return label.startswith("brk_")


def _fields(rule: AlertRule, reading: Reading, limits: Thresholds) -> Mapping[str, str]:
    """All that a sentence may say: numbers, and nothing that anybody wrote."""
    unit, share = rule.threshold.measure.unit, reading.share or Share(0, 0)
    failed = rule.threshold.measure is Measure.FAILED_RUNS
    hours = limits.failed_runs_window_hours if failed else limits.mint_success_window_hours
    return {
        "value": _number(reading.value or 0, unit),
        "limit": _number(rule.threshold.limit_in(limits.by_key), unit),
        "part": f"{share.part:,}",
        "whole": f"{share.whole:,}",
        "percent": percent(share),
        "hours": str(hours),
        "ucred": format_ucred(reading.wei or 0),
    }


def _number(value: float, unit: Unit) -> str:
    if unit is not Unit.SECONDS:
        return f"{value:,g}"
    if isinf(value):
        return "later than any, because too many are missing"
    return lasting(value) if value >= _MINUTE_S else f"{value:.3g} s"


def _of_routes(reading: Reading, routes: Collection[str]) -> Reading:
    each = {key[:_ROUTE_LETTERS]: age for key, age in reading.each.items() if key in routes}
    return replace(reading, value=max(each.values(), default=0.0), each=each)
