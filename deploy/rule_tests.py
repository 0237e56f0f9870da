"""Unit tests of the rules for `promtool test rules`, made from the limits that the rules must have."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from deploy import metrics
from deploy.conditions import CONDITIONS, Older
from deploy.courses import (
    COUNTERS,
    INSTANCE,
    STRETCH,
    Course,
    Series,
    courses_of,
    series_of,
    steady,
    stretches,
    window_course,
)
from deploy.durations import duration
from deploy.rules import Alert, alert_of, silences, watched
from ucred_pipeline.domain.alerts import CATALOGUE, EVERY, RESOLVE_AFTER
from ucred_pipeline.settings import Thresholds

_HOUR: Final = timedelta(hours=1)
#: A shorter window begins and ends between two looks.
_SHORTEST_IN_HOURS: Final = 3
_HALF_AN_HOUR: Final = timedelta(minutes=30)

Case = dict[str, Any]


def document(rules: str, limits: Thresholds) -> dict[str, Any]:
    """The tests of every alert, minute by minute."""
    cases = [
        _case(alert_of(rule, limits), course, EVERY)
        for rule in CATALOGUE
        for course in courses_of(rule, limits)
    ]
    return _file(rules, EVERY, [*cases, *_silences()])


def hourly_document(rules: str, limits: Thresholds) -> dict[str, Any]:
    """The tests of what takes days, hour by hour."""
    cases = [
        _case(alert_of(rule, limits), window_course(rule, limits), _HOUR, _HALF_AN_HOUR)
        for rule in CATALOGUE
        if rule.threshold.measure in COUNTERS and limits.mint_success_window_hours >= _SHORTEST_IN_HOURS
    ]
    return _file(rules, _HOUR, [*cases, *_zeros(limits)])


def _file(rules: str, every: timedelta, cases: Sequence[Case]) -> dict[str, Any]:
    return {"rule_files": [rules], "evaluation_interval": duration(every), "tests": list(cases)}


def _case(alert: Alert, course: Course, every: timedelta, interval: timedelta | None = None) -> Case:
    """See that an alert is silent until it has been bad for long enough, and is over when it was good."""
    return {
        "name": f"{alert.name}: silent up to its limit, fires above it, and resolves",
        "interval": duration(interval or every),
        "input_series": _input(course.series),
        "alert_rule_test": list(_looks(alert, course, every)),
    }


def _looks(alert: Alert, course: Course, every: timedelta) -> Iterator[dict[str, Any]]:
    for step, fires in sorted(dict(_expected(alert, course, every)).items()):
        yield _look(alert, step * every, course if fires else None)


def _expected(alert: Alert, course: Course, every: timedelta) -> Iterator[tuple[int, bool]]:
    """Steps, and whether the alert fires there; a time to last is at least one step."""
    lasts, kept = -(-alert.lasting // every), -(-(RESOLVE_AFTER - 1) * EVERY // every)
    yield from ((step, False) for step in course.silent)
    yield course.bad - 1, False
    yield course.bad + lasts - 1, False
    yield course.bad + lasts, True
    yield course.good - 1, True
    yield course.good + kept - 1, True
    yield course.good + kept, False
    yield course.good + kept + 1, False


def _look(alert: Alert, at: timedelta, seen: Course | None) -> dict[str, Any]:
    look: dict[str, Any] = {"eval_time": duration(at), "alertname": alert.name}
    if seen is None:
        return {**look, "exp_alerts": []}
    firing = {
        "exp_labels": {**alert.labels, **seen.labels},
        "exp_annotations": alert.annotations(**seen.seen),
    }
    return {**look, "exp_alerts": [firing]}


def _input(series: Series) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def _zeros(limits: Thresholds) -> Iterator[Case]:
    """A time of 0 stands for none, which is not old."""
    for rule in CATALOGUE:
        condition = CONDITIONS[rule.threshold.measure]
        if isinstance(condition, Older) and not condition.is_due:
            hours = int(rule.threshold.limit_in(limits.by_key)) // 3600 + 4
            series = {series_of(condition.metric.name, kind=condition.chosen): steady(0, hours + 1)}
            yield {
                "name": f"{rule.name}: not where there is none",
                "interval": duration(_HOUR),
                "input_series": _input(series),
                "alert_rule_test": [_look(alert_of(rule, limits), hours * _HOUR, None)],
            }


def _silences() -> Iterator[Case]:
    exporter, database, absent = silences()
    up, readable = (
        series_of("up", job=metrics.JOB, **INSTANCE),
        series_of(metrics.DATABASE_UP.name, **INSTANCE),
    )
    of_the_job = {"job": metrics.JOB}
    yield _case(exporter, _bad_for_a_stretch({up: stretches([1, 0, 1])}, {**of_the_job, **INSTANCE}), EVERY)
    yield _case(exporter, _bad_for_a_stretch({up: _missing(STRETCH)}, of_the_job), EVERY)
    yield _case(database, _bad_for_a_stretch({readable: stretches([1, 0, 1])}, INSTANCE), EVERY)
    yield _one_after_the_other(absent, up)
    yield {
        "name": f"{absent.name}: not while the ledger cannot be read, which is told by itself",
        "interval": duration(EVERY),
        "input_series": _input({up: steady(1, 2 * STRETCH), readable: steady(0, 2 * STRETCH)}),
        "alert_rule_test": [_look(absent, STRETCH * EVERY, None)],
    }


def _bad_for_a_stretch(series: Series, labels: Mapping[str, str]) -> Course:
    return Course(series, STRETCH, 2 * STRETCH, labels)


def _missing(since: int) -> str:
    """A series that is not there for a stretch."""
    return f"{steady(1, since)} stale _x{STRETCH - 1} {steady(1, 2 * STRETCH)}"


def _one_after_the_other(absent: Alert, up: str) -> Case:
    """Each metric in turn is missing for a stretch, and there again for the next."""
    names = (*watched(), metrics.DATABASE_UP.name)
    begins = {name: (2 * number + 1) * STRETCH for number, name in enumerate(names)}
    whole = steady(1, 2 * STRETCH * (len(names) + 1))
    series = {series_of(name, **INSTANCE): f"{_missing(begin)} {whole}" for name, begin in begins.items()}
    series[up] = whole
    looks: list[dict[str, Any]] = []
    for name, begin in begins.items():
        label = {"metric": name}
        course = Course({}, begin, begin + STRETCH, label, label)
        looks += _looks(absent, course, EVERY)
    return {
        "name": f"{absent.name}: each metric in turn",
        "interval": duration(EVERY),
        "input_series": _input(series),
        "alert_rule_test": looks,
    }
