"""Rules that are wrong in one place each: the tests of the rules must fail on every one of them."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final

from deploy import metrics
from deploy.rules import alert_of, document
from ucred_pipeline.domain.alerts import CATALOGUE
from ucred_pipeline.settings import Thresholds

#: The least by which a limit may be wrong; a window is looked at each minute, so that it is a minute.
STEPS: Final = {
    "mint_success_percent": 0.01,
    "mint_success_window_hours": 1,
    "mint_success_from_purchases": 1,
    "retry_queue": 1,
    "doubt_age_s": 1,
    "missing_purchases": 1,
    "missing_age_s": 1,
    "stale_s": 1,
    "failed_runs": 1,
    "route_backlog_s": 60,
}
#: The exporter looks back for so long, not the rules.
OF_THE_EXPORTER: Final = {"failed_runs_window_hours"}
_COMPARISONS: Final = ((" > ", " >= "), (" > ", " < "), (" >= ", " > "), (" == 0", " == 1"))


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is wrong, which alerts that is about, and their rules with what they rest on."""

    wrong: str
    about: frozenset[str]
    rules: dict[str, Any]


def _mutant(wrong: str, about: frozenset[str], rules: dict[str, Any]) -> Mutant:
    for group in rules["groups"]:
        group["rules"] = [rule for rule in group["rules"] if "record" in rule or rule["alert"] in about]
    return Mutant(wrong, about, rules)


def mutants(limits: Thresholds) -> Iterator[Mutant]:
    """Give every mutant; texts stay as they are, so that only what fires can tell."""
    yield from _other_limits(limits)
    yield from _other_fixed_limits(limits)
    for name in _alerts(document(limits)):
        yield from _other_rules(name, limits)


def _other_limits(limits: Thresholds) -> Iterator[Mutant]:
    before = limits.model_dump()
    for key, step in STEPS.items():
        for value in (before[key] - step, before[key] + step):
            if value >= 0:
                yield _with(limits, key, value)
    place = metrics.LATENCY_ENDS.index(limits.mint_latency_s)
    for end in (metrics.LATENCY_ENDS[place - 1], metrics.LATENCY_ENDS[place + 1]):
        yield _with(limits, "mint_latency_s", end)


def _with(limits: Thresholds, key: str, value: float) -> Mutant:
    changed = document(Thresholds.model_validate({**limits.model_dump(), key: value}))
    right, wrong = _alerts(document(limits)), _alerts(changed)
    about = frozenset(name for name in right if wrong[name] != right[name])
    for name in about:
        wrong[name]["annotations"] = right[name]["annotations"]
    return _mutant(f"{key} = {value}", about, changed)


def _other_fixed_limits(limits: Thresholds) -> Iterator[Mutant]:
    """A limit that is no setting is 0; one more is wrong as well."""
    for rule in CATALOGUE:
        if isinstance(rule.threshold.limit, int):
            wrong = replace(rule, threshold=replace(rule.threshold, limit=rule.threshold.limit + 1))
            yield _changed(limits, rule.name, "one more", expr=alert_of(wrong, limits).expr)


def _other_rules(name: str, limits: Thresholds) -> Iterator[Mutant]:
    right = _alerts(document(limits))[name]
    for before, after in _COMPARISONS:
        if before in right["expr"]:
            yield _changed(
                limits, name, f"{before} became {after}", expr=right["expr"].replace(before, after)
            )
    for lasting in {"0s", "1m", "2m", "3m"} - {right.get("for", "0s")}:
        yield _changed(limits, name, f"lasts {lasting}", **{"for": lasting})
    yield _changed(limits, name, "resolves at once", keep_firing_for="0s")
    yield _changed(limits, name, "another severity", labels={"severity": "none", "service": "ucred"})


def _changed(limits: Thresholds, name: str, wrong: str, **fields: Any) -> Mutant:
    changed = deepcopy(document(limits))
    _alerts(changed)[name] |= fields
    return _mutant(f"{name}: {wrong}", frozenset({name}), changed)


def _alerts(rules: dict[str, Any]) -> dict[str, dict[str, Any]]:
    every = (rule for group in rules["groups"] for rule in group["rules"])
    return {rule["alert"]: rule for rule in every if "alert" in rule}
