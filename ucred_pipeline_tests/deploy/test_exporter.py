"""What `ucred serve` exposes is what the rules and the dashboard rest on, and Prometheus likes it."""

import subprocess
from contextlib import closing
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy import metrics
from deploy.metrics import Kind
from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.ledger.measures import Windows
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.reporting.exporter import metrics_text
from ucred_pipeline_tests.deploy.conftest import Program

_OURS: Final = (*metrics.OF_THE_LEDGER, *metrics.ALWAYS)
#: The version is whatever it is.
_FREE: Final = {"version"}


@pytest.fixture
def exposed(sqlite_url: str) -> str:
    """The metrics of a ledger in which nothing has happened yet."""
    with closing(LedgerReader(sqlite_url)) as reader:
        return metrics_text(reader, Windows.of(168, 1), SystemClock()).decode()


def test_prometheus_likes_the_metrics(promtool: Program, exposed: str) -> None:
    """`promtool check metrics` has nothing to say about names, types and texts."""
    told = subprocess.run(
        [promtool.path, "check", "metrics"], input=exposed, capture_output=True, text=True, check=False
    )

    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_metrics_are_those_that_are_asked_for(exposed: str) -> None:
    """Each metric has the type and the labels that the rules take for granted, and there is no other."""
    families = list(text_string_to_metric_families(exposed))
    seen = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type) for family in families
    }

    assert seen == {(metric.name, metric.kind.value) for metric in _OURS}


@pytest.mark.parametrize("metric", _OURS, ids=lambda metric: metric.name)
def test_every_value_of_a_label_is_there(exposed: str, metric: metrics.Metric) -> None:
    """Each series that is known in advance is exposed from the beginning, also every bucket."""
    samples = [
        sample
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if sample.name in metric.series
    ]
    wanted = dict(metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        wanted["le"] = (*map(str, metrics.LATENCY_ENDS), "+Inf")
    names = {name for sample in samples for name in sample.labels} - _FREE

    assert samples
    assert names == set(wanted)
    for name, values in wanted.items():
        assert {sample.labels[name] for sample in samples if name in sample.labels} == set(values)
