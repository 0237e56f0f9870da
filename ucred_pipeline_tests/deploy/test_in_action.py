"""Real Prometheus and Alertmanager, with the files of `deploy/`: each alert fires, arrives and resolves."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from deploy import metrics
from ucred_pipeline.domain.alerts import CATALOGUE
from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline.settings import Rules, Thresholds
from ucred_pipeline_tests.deploy.exposition import Exposition
from ucred_pipeline_tests.deploy.stack import Watched, eventually, watching
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.end_to_end.test_serve import serving


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exposition]:
    """An exporter whose figures the tests set, and set back."""
    with Exposition() as exposition:
        yield exposition


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, settings: Rules, exporter: Exposition
) -> Iterator[Watched]:
    """The two programs on that exporter."""
    with watching(tmp_path_factory.mktemp("prometheus"), settings, exporter.place) as found:
        yield found


@pytest.fixture
def watched(both: Watched) -> Watched:
    """The two programs from when all is well; Prometheus takes five seconds to find an exporter."""
    eventually(both.is_quiet, "the exporter is found, and nothing fires")
    both.forget()
    return both


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


def test_each_alert_fires_arrives_and_resolves(
    watched: Watched, exporter: Exposition, settings: Rules
) -> None:
    """What is bad is told to whom its severity says, and so is its end; a failing route on another."""
    catalogue = {(rule.severity.value, rule.name) for rule in CATALOGUE}
    watched.receivers["info"].status = 404

    all_is_bad(exporter, settings.thresholds)
    eventually(lambda: watched.is_told("warning", "route_failing"), "a failing route is told of")
    watched.receivers["info"].status = 200
    eventually(lambda: watched.told("firing") >= catalogue - {("warning", "route_failing")}, "all are told")
    assert watched.running.firing() >= {name for _, name in catalogue} - {"route_failing"}

    exporter.all_is_well()
    exporter.mint(1000)
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


def test_silence_is_told(watched: Watched, exporter: Exposition) -> None:
    """A missing metric, a ledger that cannot be read, an exporter that is down: just that is told."""
    for silence in SILENCES:
        silence.begin(exporter)
        eventually(partial(watched.is_told, "critical", silence.alert), f"{silence.alert} is told")
        assert watched.running.firing() == {silence.alert}

        silence.end(exporter)
        eventually(watched.is_quiet, f"{silence.alert} is over")


def test_a_real_run(tmp_path: Path, settings: Rules) -> None:
    """`ucred serve` on a real ledger: before its first run, while some lack, all credited, and on hold."""
    spec = SandboxSpec(
        purchases=60, special_cases=False, lacking_share=0.034
    )  # fewer than are told of as a rate
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with Rehearsal(tmp_path, spec, real_time=True) as world, serving(world) as (client, _):
        place = client.base_url.netloc.decode()
        with watching(folder, settings, place) as watched:
            eventually(partial(watched.is_told, "critical", "database_down"), "there is no ledger yet")

            lacking = world.reconcile(apply=False).document["verdicts"]["lacking"]
            eventually(partial(watched.is_told, "warning", "purchases_missing"), "some lack")
            assert lacking == 2
            assert f"Purchases that lack their UCRED: {lacking};" in watched.receivers["warning"].text

            world.reconcile()
            eventually(watched.is_quiet, "all are credited")

            world.ucred("hold", "--reason", "a test", "--by", "tester")
            eventually(partial(watched.is_told, "warning", "held_by_person"), "a person holds")
            world.ucred("release", "--reason", "a test", "--by", "tester")
            eventually(watched.is_quiet, "it is released")

            told = {name for _, name in watched.told("resolved")}
            assert told - {"exporter_down"} == {"database_down", "purchases_missing", "held_by_person"}
            assert not any(world.secrets_in(one.text) for one in watched.receivers.values())
