"""Prometheus' rules: one alert for each of the catalogue, and those that tell of silence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from deploy import metrics
from deploy.conditions import CONDITIONS, LATE_PERCENT, Recorded, ShareAbove, recorded
from deploy.durations import duration, said
from ucred_pipeline.domain.alerts import CATALOGUE, EVERY, RESOLVE_AFTER, AlertRule, Severity, anchor_of
from ucred_pipeline.domain.thresholds import Measure, Unit
from ucred_pipeline.settings import Thresholds

SERVICE: Final = "ucred"
#: How long it must be silent before that is told: a restart is no silence.
SILENT_FOR: Final = timedelta(minutes=2)
#: What Prometheus cannot say as the built-in alerts do, which name each break.
_TOLD: Final[Mapping[str, str]] = {
    "mint_success_low": (
        "{part} of {whole} purchases of the last {hours} h ({percent}) were not credited by the payments API "
        "itself; at most {limit}% may be."
    ),
    "mint_latency_high": (
        "{part} of {whole} credits of the last {hours} h ({percent}) came later than {bound} after their "
        "certificate; at most {limit}% may."
    ),
    "purchases_missing": "Purchases that lack their UCRED: {value}; the limit is {limit}.",
    "purchase_missing_long": "A purchase has lacked its UCRED for longer than {limit}.",
    "over_credit": "Purchases that were credited more than was owed: {value}.",
    "doubt_old": "A correction has been in doubt for longer than {limit}.",
    "reconciliation_stale": "No run has come to its end for longer than {limit}.",
    "plan_withheld": "Plans that are over a limit and wait for an approval: {value}.",
    "gate_closed": "The newest run that might send sent nothing.",
    "route_failing": "Alertmanager could not deliver by {each} within the last {limit}.",
}
_EACH: Final[Mapping[str, str]] = {"sending_held": "kind", "route_failing": "integration"}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as Prometheus has it; `told` has the fields that `values` gives in Go's templates."""

    name: str
    severity: Severity
    expr: str
    lasting: timedelta
    summary: str
    told: str
    values: Mapping[str, str]
    runbook: str

    @property
    def labels(self) -> dict[str, str]:
        """What it is routed by."""
        return {"severity": self.severity.value, "service": SERVICE}

    def annotations(self, **seen: str) -> dict[str, str]:
        """Its texts, in Go's templates or with the values that were seen."""
        told = self.told.format_map({**self.values, **seen})
        return {"summary": self.summary, "description": told, "runbook": self.runbook}


def alert_of(rule: AlertRule, limits: Thresholds) -> Alert:
    """Make the alert of a rule of the catalogue."""
    return Alert(
        name=rule.name,
        severity=rule.severity,
        expr=_expr(rule, limits),
        lasting=(rule.fire_after - 1) * EVERY,
        summary=rule.meaning,
        told=_TOLD.get(rule.name, rule.told),
        values=_values(rule, limits),
        runbook=anchor_of(rule.name),
    )


def allowed_share(rule: AlertRule, limits: Thresholds) -> Decimal:
    """How many percent may be bad, exactly."""
    if rule.threshold.measure is Measure.MINT_LATENCY:
        return Decimal(LATE_PERCENT)
    return 100 - Decimal(str(rule.threshold.limit_in(limits.by_key))).normalize()


def _expr(rule: AlertRule, limits: Thresholds) -> str:
    condition = CONDITIONS[rule.threshold.measure]
    if isinstance(condition, ShareAbove):
        return condition.expr(allowed_share(rule, limits), limits.mint_success_from_purchases)
    return condition.expr(rule.threshold.limit_in(limits.by_key))


def _values(rule: AlertRule, limits: Thresholds) -> Mapping[str, str]:
    condition, limit = CONDITIONS[rule.threshold.measure], rule.threshold.limit_in(limits.by_key)
    if isinstance(condition, ShareAbove):
        return {
            "part": _asked(condition.part),
            "whole": _asked(condition.whole),
            "percent": "{{ $value | humanizePercentage }}",
            "limit": f"{allowed_share(rule, limits):f}",
            "bound": said(limit),
            "hours": str(limits.mint_success_window_hours),
        }
    each = {"each": f"{{{{ $labels.{_EACH[rule.name]} }}}}"} if rule.name in _EACH else {}
    return {
        "value": '{{ $value | printf "%.0f" }}',
        "limit": said(limit) if rule.threshold.measure.unit is Unit.SECONDS else f"{int(limit)}",
        "hours": str(limits.failed_runs_window_hours),
        **each,
    }


def _asked(series: str) -> str:
    """Write another series' value on the same instance into a text."""
    wanted = f'{{{{ with printf "{series}{{instance=%q}}" $labels.instance | query }}}}'
    return wanted + '{{ . | first | value | printf "%.0f" }}{{ end }}'


def alerts(limits: Thresholds) -> tuple[Alert, ...]:
    """All alerts of the catalogue."""
    return tuple(alert_of(rule, limits) for rule in CATALOGUE)


def silences() -> tuple[Alert, ...]:
    """The alerts that the built-in ones cannot give: nothing is heard of the pipeline."""
    up = f'up{{job="{metrics.JOB}"}}'
    database_up = metrics.DATABASE_UP.name
    absent = "\n  or ".join(_absent(name) for name in watched())
    return (
        _silence(
            "exporter_down",
            f"{up} == 0\n  or absent({up})",
            "Nothing answers where `ucred serve` should; no other alert of the pipeline can fire.",
            "Prometheus cannot scrape `ucred serve`.",
        ),
        _silence(
            "database_down",
            f"{database_up} == 0",
            "The ledger cannot be read; no other alert of the pipeline can fire.",
            "`ucred serve` answers, and cannot read the ledger.",
        ),
        _silence(
            "metrics_absent",
            f"({absent})\n  and on () ({database_up} == 1)\n"
            f"  or {_absent(database_up)} and on () ({up} == 1)",
            "A metric that alerts rest on is not there, so that they cannot fire.",
            "`ucred serve` does not expose {metric}; the rules may be those of another version.",
        ),
    )


def _silence(name: str, expr: str, summary: str, told: str) -> Alert:
    values = {"metric": "{{ $labels.metric }}"}
    return Alert(name, Severity.CRITICAL, expr, SILENT_FOR, summary, told, values, f"docs/deploy.md#{name}")


def watched() -> tuple[str, ...]:
    """The series of ours that alerts rest on, each once."""
    found = [metrics.MINT_ATTEMPTS.name, metrics.MINT_FAILURES.name, f"{metrics.MINT_LATENCY.name}_count"]
    for condition in CONDITIONS.values():
        name = getattr(getattr(condition, "metric", None), "name", "")
        if name.startswith("ucred_") and name not in found:
            found.append(name)
    return tuple(found)


def _absent(name: str) -> str:
    return f'label_replace(absent({name}), "metric", "{name}", "", "")'


def document(limits: Thresholds) -> dict[str, Any]:
    """The file of rules."""
    of_the_catalogue = [*map(_recording, recorded(limits)), *map(_alerting, alerts(limits))]
    groups = {"ucred": of_the_catalogue, "ucred_silence": [_alerting(one) for one in silences()]}
    every = duration(EVERY)
    return {"groups": [{"name": name, "interval": every, "rules": rules} for name, rules in groups.items()]}


def _recording(series: Recorded) -> dict[str, Any]:
    return {"record": series.name, "expr": series.expr}


def _alerting(alert: Alert) -> dict[str, Any]:
    return dict(_fields(alert))


def _fields(alert: Alert) -> Iterator[tuple[str, Any]]:
    yield "alert", alert.name
    yield "expr", alert.expr
    if alert.lasting:
        yield "for", duration(alert.lasting)
    yield "keep_firing_for", duration((RESOLVE_AFTER - 1) * EVERY)
    yield "labels", alert.labels
    yield "annotations", alert.annotations()
