"""The metrics of /metrics: the catalogue, the ledger's figures, and what is said when there is no ledger."""

import re
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ucred_pipeline.domain.accounts import USER_PREFIX
from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.breaks import KINDS, count_breaks
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.measures import Windows, mint_success, retry_queue
from ucred_pipeline.ledger.mints import FAILURES, LATENCY_BUCKETS_MS
from ucred_pipeline.ledger.purchases import count_verdicts
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.reporting.exporter import metrics_text
from ucred_pipeline_tests.reporting.serving import visiting
from ucred_pipeline_tests.reporting.worlds import World

#: The catalogue, to the letter.
CATALOGUE: Final = {
    "ucred_mint_attempts_total",
    "ucred_mint_failures_total",
    "ucred_mint_latency_seconds",
    "ucred_retry_queue_size",
    "ucred_retry_queue_oldest_timestamp_seconds",
    "ucred_missing_purchases",
    "ucred_over_credits",
    "ucred_in_doubt_credits",
    "ucred_open_breaks",
    "ucred_open_breaks_oldest_timestamp_seconds",
    "ucred_reconciliation_last_success_timestamp_seconds",
    "ucred_reconciliation_last_run_duration_seconds",
    "ucred_reconciliation_watermark_timestamp_seconds",
    "ucred_failed_runs",
    "ucred_holds",
    "ucred_gates_closed",
    "ucred_withheld_plans",
    "ucred_breaker_openings",
    "ucred_token_refused",
    "ucred_exporter_database_up",
    "ucred_build_info",
}
_NOT_OF_THE_LEDGER: Final = {"ucred_exporter_database_up", "ucred_build_info"}
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def text_of(url: str) -> str:
    """Scrape a ledger."""
    with closing(LedgerReader(url)) as reader:
        return metrics_text(reader, Windows.of(168, 1), SystemClock()).decode()


def series_of(text: str) -> Series:
    """Read a scrape as Prometheus does."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def names_in(text: str) -> set[str]:
    """The names of the metrics, as they are declared."""
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


@pytest.fixture
def scraped(world: World) -> Series:
    """The metrics of a reconciled world."""
    return series_of(text_of(world.pipeline.settings.ledger_url))


def value(series: Series, name: str, **labels: str) -> float:
    """One value."""
    return series[name, tuple(sorted(labels.items()))]


def test_the_catalogue(world: World) -> None:
    """Every metric of the catalogue is there and no other, each with a type and a text."""
    text = text_of(world.pipeline.settings.ledger_url)

    assert names_in(text) == CATALOGUE
    assert set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)) == CATALOGUE


def test_the_metrics_are_the_figures_of_the_ledger(world: World, scraped: Series) -> None:
    """Each gauge is what the ledger counts, and the counters count every mint of the world once."""
    with world.pipeline.ledger.read() as connection:
        verdicts, breaks, queue = (
            count_verdicts(connection),
            count_breaks(connection),
            retry_queue(connection),
        )
        ever = mint_success(connection, SystemClock().now().replace(year=2000))

    assert value(scraped, "ucred_missing_purchases") == verdicts[Verdict.LACKING]
    assert value(scraped, "ucred_over_credits") == verdicts[Verdict.OVER_CREDITED] > 0
    assert value(scraped, "ucred_in_doubt_credits") == verdicts[Verdict.IN_DOUBT]
    assert value(scraped, "ucred_retry_queue_size") == queue.size
    assert {kind: value(scraped, "ucred_open_breaks", kind=kind) for kind in KINDS} == breaks
    assert value(scraped, "ucred_mint_attempts_total") == ever.whole > 100
    failed = sum(value(scraped, "ucred_mint_failures_total", reason=reason) for reason in FAILURES)
    assert failed == ever.missed > 0
    assert value(scraped, "ucred_mint_latency_seconds_count") == ever.whole
    assert value(scraped, "ucred_exporter_database_up") == 1


def test_times_are_moments_not_ages(world: World, scraped: Series) -> None:
    """Time stamps are those of the run and of the oldest breaks, in seconds since 1970; none is an age."""
    finished = world.run.finished
    assert finished is not None
    lasted = value(scraped, "ucred_reconciliation_last_run_duration_seconds")

    assert value(scraped, "ucred_reconciliation_last_success_timestamp_seconds") == finished.timestamp()
    assert lasted == pytest.approx((finished - world.run.began).total_seconds())
    assert (
        0 < finished.timestamp() - value(scraped, "ucred_reconciliation_watermark_timestamp_seconds") < 3600
    )
    oldest = value(scraped, "ucred_open_breaks_oldest_timestamp_seconds", kind="unpaid")
    assert 0 <= finished.timestamp() - oldest < 3600


def test_zeros_of_what_is_known_in_advance(sqlite_url: str) -> None:
    """Before anything has happened every series is there, and 0."""
    series = series_of(text_of(sqlite_url))
    about_us = {"ucred_build_info", "ucred_exporter_database_up"}

    assert {name for (name, _), found in series.items() if found} == about_us
    assert {labels for name, labels in series if name == "ucred_open_breaks"} == {
        (("kind", kind),) for kind in KINDS
    }
    assert {labels for name, labels in series if name == "ucred_mint_failures_total"} == {
        (("reason", reason),) for reason in FAILURES
    }


def test_a_bucket_ends_at_the_limit(scraped: Series) -> None:
    """There is a bucket at 2 s, buckets only grow, and the last has all."""
    buckets = [found for (name, _), found in scraped.items() if name == "ucred_mint_latency_seconds_bucket"]

    assert 2000 in LATENCY_BUCKETS_MS
    assert ("ucred_mint_latency_seconds_bucket", (("le", "2.0"),)) in scraped
    assert buckets == sorted(buckets)
    assert buckets[-1] == value(scraped, "ucred_mint_latency_seconds_count")


def test_nothing_names_a_customer(world: World) -> None:
    """No address, account, namespace, payment or break is in a metric, and no label but the three."""
    text = text_of(world.pipeline.settings.ledger_url)
    truth = world.sandbox.truth
    names = {name for account in truth.accounts for name in (account, account.removeprefix(USER_PREFIX))}
    labels = {label for _, labels in series_of(text) for label, _ in labels}

    assert not [name for name in names if name in text]
    assert not re.search(r"pi_|brk_|acct:|\.x\b", text)
    assert labels == {"kind", "reason", "le", "version"}


def test_without_a_ledger_there_are_no_figures(tmp_path: Path) -> None:
    """A ledger that cannot be read is said to be so, with 200 and not one series of the business."""
    with visiting(f"sqlite:///{(tmp_path / 'none.db').as_posix()}") as client:
        answer, health = client.get("/metrics"), client.get("/healthz")

    assert answer.status_code == 200
    assert names_in(answer.text) == _NOT_OF_THE_LEDGER
    assert value(series_of(answer.text), "ucred_exporter_database_up") == 0
    assert health.status_code == 503


def test_a_ledger_that_comes_back(tmp_path: Path) -> None:
    """The same process that found no ledger reads it at the next scrape, once it is there."""
    file = tmp_path / "later.db"
    url = f"sqlite:///{file.as_posix()}"
    with visiting(url) as client:
        before = client.get("/metrics").text
        Ledger.open(url).close()
        after = client.get("/metrics")
        health = client.get("/healthz")

    assert names_in(before) == _NOT_OF_THE_LEDGER
    assert names_in(after.text) == CATALOGUE
    assert after.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


def test_on_either_database(ledger_url: str) -> None:
    """The catalogue is whole on PostgreSQL as well."""
    Ledger.open(ledger_url).close()

    assert names_in(text_of(ledger_url)) == CATALOGUE
