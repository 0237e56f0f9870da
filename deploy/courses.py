"""How series go in the unit tests of the rules, in the notation of `promtool`: well, bad, and well again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import Final

from deploy import metrics
from deploy.conditions import CONDITIONS, Above, Counted, Older, ShareAbove, bucket_of
from deploy.rules import allowed_share
from ucred_pipeline.domain.alerts import AlertRule
from ucred_pipeline.domain.thresholds import Measure
from ucred_pipeline.ledger.mints import FAILURES
from ucred_pipeline.settings import Thresholds

#: For how many steps a value stays.
STRETCH: Final = 5
_MINUTE_S: Final = 60
#: So many times the smallest numbers of a share, one more is barely above it.
_FINE: Final = 1000
INSTANCE: Final[Mapping[str, str]] = {"instance": "127.0.0.1:8350"}

Series = dict[str, str]


@dataclass(frozen=True, slots=True)
class Course:
    """Series that are bad from one step until another, and the alert that is then seen.

    `silent` has steps before, beside the last of them, at which nothing may be seen.
    """

    series: Series
    bad: int
    good: int
    labels: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)
    silent: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Growth:
    """So many of so many were counted."""

    part: int
    whole: int


def courses_of(rule: AlertRule, limits: Thresholds) -> Iterator[Course]:
    """How a rule's series go, minute by minute: just below the limit, at it, just above, and at it again."""
    condition, limit = CONDITIONS[rule.threshold.measure], int(rule.threshold.limit_in(limits.by_key))
    match condition:
        case Above():
            yield _above(condition, limit)
        case Older():
            yield _older(condition, limit)
            if condition.is_due:
                yield _none_yet(condition, limit)
        case Counted():
            yield _counted(condition, limit)
        case ShareAbove() if not _share(rule, limits):
            return  # one that fails is bad until it has left the window: `window_course`
        case ShareAbove():
            yield _barely_above_the_share(rule, limits)
            yield _all_of_just_enough(rule, limits)


def window_course(rule: AlertRule, limits: Thresholds) -> Course:
    """All of just enough fail within half an hour, which counts for as long as the window is.

    In steps of half an hour, at every second of which the alert is looked at.
    """
    least, hours = limits.mint_success_from_purchases, limits.mint_success_window_hours
    series = {
        name: f"0x1 _ {last}x{2 * hours + 4 * STRETCH}"
        for name, last in _last_values(rule, Growth(least, least), limits).items()
    }
    return Course(series, bad=2, good=hours + 1, labels=INSTANCE, seen=_share_seen(least, least))


def _last_values(rule: AlertRule, growth: Growth, limits: Thresholds) -> dict[str, int]:
    return {name: values[0] for name, values in COUNTERS[rule.threshold.measure]([growth], limits).items()}


def series_of(name: str, **labels: str | None) -> str:
    """Name a series."""
    told = ",".join(f'{label}="{value}"' for label, value in labels.items() if value is not None)
    return f"{name}{{{told}}}" if told else name


def steady(value: int, steps: int) -> str:
    """A value that stays for so many steps."""
    return f"{value}x{steps - 1}"


def stretches(values: Iterable[int]) -> str:
    """Values that stay for a stretch each, and the last for two."""
    told = [steady(value, STRETCH) for value in values]
    return " ".join([*told, told[-1]])


def _above(condition: Above, limit: int) -> Course:
    """Another kind is bad all the time, and nobody's concern."""
    name, kind, other = condition.metric.name, condition.chosen, condition.other
    series = {series_of(name, kind=kind): stretches([max(limit - 1, 0), limit, limit + 1, limit])}
    if other:
        series[series_of(name, kind=other)] = steady(limit + 1, 5 * STRETCH)
    seen = {"value": str(limit + 1), "each": str(kind)}
    return Course(series, 2 * STRETCH, 3 * STRETCH, _of_kind(kind), seen, silent=(STRETCH - 1,))


def _older(condition: Older, limit: int) -> Course:
    """Ages that stand still, for the time that is told moves on with the clock."""
    name, kind, other = condition.metric.name, condition.chosen, condition.other
    begins = [
        stretch * STRETCH * _MINUTE_S - age
        for stretch, age in enumerate([limit - 1, limit, limit + 1, limit, limit])
    ]
    moving = " ".join(f"{begin}+{_MINUTE_S}x{STRETCH - 1}" for begin in begins)
    series = {series_of(name, kind=kind): moving}
    if other:
        series[series_of(name, kind=other)] = steady(-2 * limit, 5 * STRETCH)
    return Course(series, 2 * STRETCH, 3 * STRETCH, _of_kind(kind), silent=(STRETCH - 1,))


def _none_yet(condition: Older, limit: int) -> Course:
    """There is none for as long as the limit, and a stretch later there is."""
    bad = -(-limit // _MINUTE_S)
    good = bad + STRETCH
    series = {condition.selector: f"{steady(0, good)} {steady(good * _MINUTE_S, 2 * STRETCH)}"}
    return Course(series, bad, good, silent=(STRETCH,))


def _of_kind(kind: str | None) -> Mapping[str, str]:
    return {"kind": kind} if kind else {}


def _counted(condition: Counted, limit: int) -> Course:
    """What was counted once is bad for as long as is looked back."""
    looked_back = condition.window(limit) // timedelta(minutes=1)
    labels = {**INSTANCE, "integration": "webhook"}
    name = series_of(condition.metric.name, **labels, reason="other")
    series = {name: f"{steady(0, STRETCH)} {steady(1, looked_back + 2 * STRETCH)}"}
    return Course(series, STRETCH, STRETCH + looked_back, labels, {"each": labels["integration"]})


def _barely_above_the_share(rule: AlertRule, limits: Thresholds) -> Course:
    share = _share(rule, limits)
    size = max(_rounded_up(Fraction(limits.mint_success_from_purchases, share.numerator)), _FINE)
    part, whole = share.numerator * size, share.denominator * size
    grows = [Growth(part + more, whole + more) for more in (-1, 0, 1)]
    enough = Growth(part + 1, _rounded_up((part + 1) / share))
    return _growing(rule, [*grows, enough], limits, _share_seen(part + 1, whole + 1))


def _all_of_just_enough(rule: AlertRule, limits: Thresholds) -> Course:
    """All of too few is silent, all of just enough is not; of many more it is a small share."""
    least = limits.mint_success_from_purchases
    few = Growth(least - 1, least - 1)
    many = Growth(least, _rounded_up(least / _share(rule, limits)))
    return _growing(rule, [few, few, Growth(least, least), many], limits, _share_seen(least, least))


def _growing(rule: AlertRule, grows: Sequence[Growth], limits: Thresholds, seen: Mapping[str, str]) -> Course:
    """Counters that begin at 0, for what they show at first was counted before."""
    counted = COUNTERS[rule.threshold.measure](grows, limits)
    series = {name: stretches([0, *values]) for name, values in counted.items()}
    return Course(series, 3 * STRETCH, 4 * STRETCH, INSTANCE, seen, silent=(2 * STRETCH - 1,))


def _share(rule: AlertRule, limits: Thresholds) -> Fraction:
    return Fraction(allowed_share(rule, limits)) / 100


def _rounded_up(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def _share_seen(part: int, whole: int) -> Mapping[str, str]:
    return {"part": str(part), "whole": str(whole), "percent": f"{100 * part / whole:.4g}%"}


def _mints(grows: Sequence[Growth], _limits: Thresholds) -> dict[str, list[int]]:
    """Failures of two reasons, which are added up."""
    first, second = FAILURES[:2]
    failures = metrics.MINT_FAILURES.name
    return {
        series_of(metrics.MINT_ATTEMPTS.name, **INSTANCE): [growth.whole for growth in grows],
        series_of(failures, **INSTANCE, reason=first): [growth.part // 2 for growth in grows],
        series_of(failures, **INSTANCE, reason=second): [growth.part - growth.part // 2 for growth in grows],
    }


def _latencies(grows: Sequence[Growth], limits: Thresholds) -> dict[str, list[int]]:
    """Credits in the bucket of the limit, and late ones in the next; none was quicker."""
    name, ends = metrics.MINT_LATENCY.name, [str(end) for end in metrics.LATENCY_ENDS]
    place = ends.index(bucket_of(limits))
    whole = [growth.whole for growth in grows]
    counts = dict.fromkeys(ends[:place], [0] * len(grows))
    counts[ends[place]] = [growth.whole - growth.part for growth in grows]
    counts |= dict.fromkeys([*ends[place + 1 :], "+Inf"], whole)
    buckets = {series_of(f"{name}_bucket", **INSTANCE, le=end): values for end, values in counts.items()}
    return {**buckets, series_of(f"{name}_count", **INSTANCE): whole}


COUNTERS: Final[Mapping[Measure, Callable[[Sequence[Growth], Thresholds], dict[str, list[int]]]]] = {
    Measure.MINT_SUCCESS: _mints,
    Measure.MINT_LATENCY: _latencies,
}
