"""Grafana's file, which nothing here can run: that it is whole, and asks for what is there."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from deploy import metrics
from deploy.conditions import recorded
from deploy.yaml_text import yaml_text
from ucred_pipeline.settings import Rules
from ucred_pipeline_tests.deploy.conftest import DEPLOY, Program

FILE: Final = DEPLOY / "grafana" / "ucred.json"
BOARD: Final[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
PANELS: Final[list[dict[str, Any]]] = BOARD["panels"]
#: Written by Prometheus itself.
OF_PROMETHEUS: Final = {"ALERTS"}
_UNITS: Final = {"short", "s", "percentunit", "bool_yes_no"}


def queries() -> Iterator[str]:
    """Every expression of the dashboard."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]


def test_it_is_for_the_version_that_it_says() -> None:
    """Grafana 11.6 writes schema 41, and migrates whatever is older."""
    assert (BOARD["schemaVersion"], BOARD["uid"], BOARD["title"]) == (41, "ucred", "UCRED")
    assert BOARD["timezone"] == "utc"


def test_every_panel_has_an_id_of_its_own() -> None:
    """Two panels of one id are one to Grafana."""
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids)) == len(PANELS) >= 20


def test_the_source_is_chosen_by_whoever_looks() -> None:
    """No panel and no query names a data source of ours: all take the variable's."""
    (variable,) = BOARD["templating"]["list"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert all(panel["datasource"] == chosen for panel in PANELS)
    assert all(target["datasource"] == chosen for panel in PANELS for target in panel["targets"])


def test_every_panel_says_what_it_shows() -> None:
    """Each has a title, a text and a unit, and each of several lines a name."""
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in _UNITS
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)) >= 1
        assert all(target["legendFormat"] for target in panel["targets"])


def test_no_panel_lies_over_another() -> None:
    """They fit into the width, and none covers another."""
    places = [panel["gridPos"] for panel in PANELS]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_prometheus_understands_every_query(promtool: Program, tmp_path: Path) -> None:
    """Each expression parses, by Prometheus' own parser."""
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml_text({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")

    assert f"SUCCESS: {len(rules)} rules found" in promtool.accepts("check", "rules", file)


def test_every_query_asks_for_a_metric_that_exists(settings: Rules) -> None:
    """A metric is one of the exporter's, one of the recorded series, or Prometheus' own."""
    known = {series for metric in metrics.ALL for series in metric.series}
    known |= {series.name for series in recorded(settings.thresholds)} | OF_PROMETHEUS
    for expr in queries():
        without_labels = re.sub(r"\{[^}]*\}|\((?:kind|reason|alertname, severity)\)", "", expr)
        named = set(re.findall(r"\b(?:ucred[\w:]*|[A-Z]+)\b", without_labels))
        assert named
        assert named <= known


def test_every_metric_of_the_ledger_is_shown() -> None:
    """Whatever is exposed has a place on the dashboard, by itself or by what is recorded of it."""
    asked = " ".join(queries())
    recorded_of = {"ucred_mint_attempts_total", "ucred_mint_failures_total", "ucred_mint_latency_seconds"}

    assert {metric.name for metric in metrics.OF_THE_LEDGER if metric.name not in asked} == recorded_of


def test_the_limits_are_drawn(settings: Rules) -> None:
    """Every limit that a chart has is that of the alert, as a dashed line."""
    limits = settings.thresholds
    drawn = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"]
        for panel in PANELS
        if panel["type"] == "timeseries" and "thresholds" in panel["fieldConfig"]["defaults"]
    }

    assert drawn == {
        "Mint success": limits.mint_success_percent / 100,
        "Mint latency, 95th percentile": limits.mint_latency_s,
        "Age of the oldest that lacks, and of the oldest doubt": min(
            limits.missing_age_s, limits.doubt_age_s
        ),
        "Retry queue": limits.retry_queue,
        "Failed runs": limits.failed_runs,
    }
    for panel in PANELS:
        if panel["title"] in drawn and panel["type"] == "timeseries":
            custom = panel["fieldConfig"]["defaults"]["custom"]
            assert custom["thresholdsStyle"]["mode"] == "dashed"


def test_a_number_is_red_just_when_its_alert_would_fire(settings: Rules) -> None:
    """Grafana colours from a value on, so that a limit that is still good must not be coloured."""
    limits = settings.thresholds
    steps = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        for panel in PANELS
        if panel["type"] == "stat" and "thresholds" in panel["fieldConfig"]["defaults"]
    }
    begins = {title: (low["color"], high["value"]) for title, (low, high) in steps.items()}

    assert begins == {
        "Mint success": ("red", limits.mint_success_percent / 100),
        "Mint latency, 95th percentile": ("green", limits.mint_latency_s + 0.001),
        "Missing": ("green", limits.missing_purchases + 1),
        "Over-credits": ("green", 1),
        "Ledger readable": ("red", 1),
        "Last run ended": ("green", limits.stale_s + 1),
        "Holds in force": ("green", 1),
        "Plans withheld": ("green", 1),
    }
