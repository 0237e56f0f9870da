"""Prometheus' rules: its own checker accepts them, their tests pass, and fail on any rule that is wrong."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy import metrics
from deploy.conditions import CONDITIONS
from deploy.files import files
from deploy.rules import alerts, document, silences
from deploy.yaml_text import yaml_text
from ucred_pipeline.domain.alerts import CATALOGUE, Severity
from ucred_pipeline.domain.thresholds import Measure
from ucred_pipeline.settings import Rules, Thresholds
from ucred_pipeline_tests.deploy.conftest import DEPLOY, ROOT, Program
from ucred_pipeline_tests.deploy.mutants import OF_THE_EXPORTER, STEPS, mutants

FILES: Final = DEPLOY / "prometheus"
TESTS: Final = ("rules_test.yml", "rules_hourly_test.yml")
#: How `promtool` tells of a look that saw something else; rules that it cannot read it tells of otherwise.
_FAILED: Final = r"^Unit Testing: .*?(\d+)-rules\w+\.yml\n +FAILED:\n +name: .*\n +alertname: "
#: How often a run is due.
A_RUN_S: Final = 15 * 60


def written() -> list[dict[str, Any]]:
    """The alerts of the file as Prometheus reads them."""
    groups = yaml.safe_load((FILES / "rules.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_prometheus_accepts_the_rules(promtool: Program) -> None:
    """`promtool check rules` has nothing to say, with every lint on."""
    told = promtool.accepts("check", "rules", "--lint=all", "--lint-fatal", FILES / "rules.yml")

    assert "SUCCESS" in told


def test_the_tests_of_the_rules_pass(promtool: Program) -> None:
    """Each alert is silent up to its limit, fires above it after its time, and resolves."""
    promtool.accepts("test", "rules", *(FILES / name for name in TESTS))


@pytest.mark.parametrize(
    "limits",
    [
        Thresholds(mint_success_percent=99.95, mint_success_window_hours=24, mint_success_from_purchases=7),
        Thresholds(mint_success_percent=33.3, mint_latency_s=5, retry_queue=2_000_001, missing_purchases=3),
        Thresholds(stale_s=10_811, doubt_age_s=1_234_567, missing_age_s=90_061, route_backlog_s=45),
        Thresholds(mint_success_percent=100),
        Thresholds(mint_success_window_hours=1, failed_runs=4, failed_runs_window_hours=6),
    ],
)
def test_the_tests_pass_with_other_limits(promtool: Program, tmp_path: Path, limits: Thresholds) -> None:
    """An owner's own limits give rules that pass their own tests."""
    for name, text in files(Rules(thresholds=limits)).items():
        (tmp_path / Path(name).name).write_text(text, encoding="utf-8")

    promtool.accepts("test", "rules", *(tmp_path / name for name in TESTS))


def test_every_alert_is_tested() -> None:
    """Of each alert there is a look that sees it fire, and one that sees that it does not."""
    seen = set()
    for name in TESTS:
        for case in yaml.safe_load((FILES / name).read_text("utf-8"))["tests"]:
            seen |= {(look["alertname"], bool(look["exp_alerts"])) for look in case["alert_rule_test"]}

    names = {rule["alert"] for rule in written()}
    assert seen == {(name, fires) for name in names for fires in (True, False)}


def test_a_wrong_rule_fails_the_tests(promtool: Program, settings: Rules, tmp_path: Path) -> None:
    """A limit that is one step off, another comparison, another time: the tests see each of them."""
    wrong = list(mutants(settings.thresholds))
    suites = {name: yaml.safe_load((FILES / name).read_text("utf-8")) for name in TESTS}
    files = []
    for number, mutant in enumerate(wrong):
        (tmp_path / f"{number}.yml").write_text(yaml_text(mutant.rules), encoding="utf-8")
        for name, suite in suites.items():
            if cases := [case for case in suite["tests"] if about(case) in mutant.about]:
                narrowed = {**suite, "rule_files": [f"{number}.yml"], "tests": cases}
                files.append(tmp_path / f"{number}-{name}")
                files[-1].write_text(yaml_text(narrowed), encoding="utf-8")

    told = promtool.run("test", "rules", *files).stdout

    seen = re.findall(_FAILED, told, re.MULTILINE)
    assert told.count("Unit Testing: ") == len(files)
    assert [mutant.wrong for number, mutant in enumerate(wrong) if str(number) not in seen] == []


def about(case: dict[str, Any]) -> str:
    """The one alert that a case is about."""
    (name,) = {look["alertname"] for look in case["alert_rule_test"]}
    return str(name)


def test_every_limit_of_the_settings_is_mutated() -> None:
    """A new key of `[thresholds]` gets a mutant."""
    assert {*STEPS, "mint_latency_s", *OF_THE_EXPORTER} == set(Thresholds.model_fields)
    assert set(CONDITIONS) == set(Measure)


def test_every_rule_says_what_to_do() -> None:
    """Each has a severity, a sentence on what it means, another with figures, and a place to read on."""
    for rule in written():
        texts = rule["annotations"]
        assert rule["labels"] == {"severity": Severity(rule["labels"]["severity"]).value, "service": "ucred"}
        assert texts["summary"].endswith(".")
        assert texts["description"].endswith(".")
        assert not re.search(r"\{\w+\}", texts["description"])
        file, _, anchor = texts["runbook"].partition("#")
        assert f"\n### {anchor}\n" in (ROOT / file).read_text("utf-8")


def test_the_catalogue_and_the_silences_are_there(settings: Rules) -> None:
    """Every built-in alert has its rule, of the same severity; only what tells of silence is added."""
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in written()}
    added = {"exporter_down", "database_down", "metrics_absent"}

    assert severities == {rule.name: rule.severity for rule in CATALOGUE} | dict.fromkeys(added, "critical")
    assert {one.name for one in alerts(settings.thresholds)} == set(severities) - added
    assert {one.name for one in silences()} == added


def test_a_window_spans_two_runs(settings: Rules) -> None:
    """What is counted over a time is counted over at least two runs, or most looks would see none."""
    (mints,) = {
        int(found)
        for group in document(settings.thresholds)["groups"]
        for rule in group["rules"]
        if "record" in rule
        for found in re.findall(r"\[(\d+)h\]", rule["expr"])
    }
    assert mints * 3600 >= 2 * A_RUN_S
    assert settings.thresholds.stale_s >= 2 * A_RUN_S


def test_a_rule_names_metrics_that_exist() -> None:
    """No rule rests on a metric that nobody exposes."""
    known = {series for metric in metrics.ALL for series in metric.series}
    text = "\n".join(re.sub(r'"[^"]*"', "", rule["expr"]) for rule in written())

    assert set(re.findall(r"\b(?:ucred|alertmanager)_\w+", text)) <= known
