"""Real Prometheus and Alertmanager, with the files of `deploy/`: each alert fires, arrives and resolves."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from deploy import metrics
from ucred_pipeline.domain.alerts import CATALOGUE, Severity
from ucred_pipeline.settings import Rules, Thresholds
from ucred_pipeline_tests.deploy.conftest import program
from ucred_pipeline_tests.deploy.exposition import Exposition
from ucred_pipeline_tests.deploy.stack import Stack, eventually, stack
from ucred_pipeline_tests.reporting.receiver import Receiver

HOOKS: Final = tuple(severity.value for severity in Severity)
Receivers = Mapping[str, Receiver]


class Watched:
    """The two programs, the exporter that they look at, and whoever is told."""

    def __init__(self, running: Stack, exporter: Exposition, receivers: Receivers) -> None:
        self.running, self.exporter, self.receivers = running, exporter, receivers

    def told(self, status: str) -> set[tuple[str, str]]:
        """Who was told that an alert has a status, by the newest message about it."""
        newest = {
            (receiver, alert["fingerprint"]): (alert["status"], alert["labels"]["alertname"])
            for receiver, taken in self.receivers.items()
            for message in taken.taken
            for alert in message["alerts"]
        }
        return {(receiver, name) for (receiver, _), (now, name) in newest.items() if now == status}

    def is_told(self, receiver: str, name: str) -> bool:
        """Whether somebody was told that an alert fires."""
        return (receiver, name) in self.told("firing")

    def is_quiet(self) -> bool:
        """Whether the rules are evaluated, nothing fires, and nobody was told that anything still does."""
        is_evaluated = self.running.ask("ucred:mint_attempts:window") != []
        return is_evaluated and not self.running.firing() and not self.told("firing")


@pytest.fixture
def watched(tmp_path: Path, settings: Rules) -> Iterator[Watched]:
    """Prometheus that scrapes an exporter, and Alertmanager that tells a hook of each severity."""
    programs = {
        "prometheus": program("prometheus"),
        "alertmanager": program("prometheus-alertmanager", "alertmanager"),
    }
    with ExitStack() as opened:
        exporter = opened.enter_context(Exposition())
        receivers = {name: opened.enter_context(Receiver()) for name in HOOKS}
        hooks = {name: one.url(name).replace("json:", "http:") for name, one in receivers.items()}
        running = opened.enter_context(stack(tmp_path, programs, settings, exporter.place, hooks))
        found = Watched(running, exporter, receivers)
        eventually(found.is_quiet, "the exporter is found, which takes Prometheus five seconds")
        for receiver in receivers.values():
            receiver.taken.clear()
        yield found


def all_is_bad(exporter: Exposition, limits: Thresholds) -> None:
    """Let every figure be beyond its limit."""
    now = time.time()
    exporter.mint(0, failed=limits.mint_success_from_purchases)
    exporter.set(metrics.RETRY_QUEUE, limits.retry_queue + 1)
    exporter.set(metrics.MISSING, limits.missing_purchases + 1)
    exporter.set(metrics.OVER_CREDITS, 1)
    exporter.set(metrics.BREAKS_OLDEST, now - limits.missing_age_s - 1, kind="lacking")
    exporter.set(metrics.BREAKS_OLDEST, now - limits.doubt_age_s - 1, kind="in_doubt")
    for kind in ("unissued", "unpaid", "ambiguous", "withdrawn"):
        exporter.set(metrics.OPEN_BREAKS, 1, kind=kind)
    exporter.set(metrics.LAST_SUCCESS, now - limits.stale_s - 1)
    exporter.set(metrics.FAILED_RUNS, limits.failed_runs + 1)
    for kind in ("breaker", "person", "indexer_forgot"):
        exporter.set(metrics.HOLDS, 1, kind=kind)
    for metric in (
        metrics.GATES_CLOSED,
        metrics.WITHHELD_PLANS,
        metrics.BREAKER_OPENINGS,
        metrics.TOKEN_REFUSED,
    ):
        exporter.set(metric, 1)


def test_each_alert_fires_arrives_and_resolves(watched: Watched, settings: Rules) -> None:
    """What is bad is told to whom its severity says, and so is its end; a failing route on another."""
    catalogue = {(rule.severity.value, rule.name) for rule in CATALOGUE}
    watched.receivers["info"].status = 404

    all_is_bad(watched.exporter, settings.thresholds)
    eventually(lambda: watched.is_told("warning", "route_failing"), "a failing route is told of")
    watched.receivers["info"].status = 200
    eventually(lambda: watched.told("firing") >= catalogue - {("warning", "route_failing")}, "all are told")
    assert watched.running.firing() >= {name for _, name in catalogue} - {"route_failing"}

    watched.exporter.all_is_well()
    watched.exporter.mint(1000)
    eventually(lambda: watched.told("resolved") == catalogue, "all have resolved")
    assert watched.running.firing() == set()


@dataclass(frozen=True, slots=True)
class Silence:
    """What is not there for a while."""

    alert: str
    begin: Callable[[Exposition], None]
    end: Callable[[Exposition], None]


SILENCES: Final = (
    Silence(
        "metrics_absent", lambda one: one.missing.add(metrics.HOLDS.name), lambda one: one.missing.clear()
    ),
    Silence("database_down", lambda one: one.let(is_readable=False), lambda one: one.let(is_readable=True)),
    Silence("exporter_down", lambda one: one.let(is_up=False), lambda one: one.let(is_up=True)),
)


def test_silence_is_told(watched: Watched) -> None:
    """A missing metric, a ledger that cannot be read, an exporter that is down: just that is told."""
    for silence in SILENCES:
        silence.begin(watched.exporter)
        eventually(partial(watched.is_told, "critical", silence.alert), f"{silence.alert} is told")
        assert watched.running.firing() == {silence.alert}

        silence.end(watched.exporter)
        eventually(watched.is_quiet, f"{silence.alert} is over")
