"""The catalogue of alerts: its limits are those of the settings, and its texts hold nothing of others."""

import re
from pathlib import Path
from string import Formatter

import pytest

from ucred_pipeline.domain import thresholds
from ucred_pipeline.domain.alerts import (
    AT_ONCE,
    CATALOGUE,
    FLOOD,
    NAMES,
    RULES,
    AlertRule,
    Severity,
    anchor_of,
    safe_label,
)
from ucred_pipeline.domain.thresholds import Measure, Reading, Share
from ucred_pipeline.settings import Thresholds

DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"
FIELDS = {"value", "limit", "part", "whole", "percent", "hours", "ucred", "each"}
LIMITS = Thresholds().by_key


@pytest.mark.parametrize("rule", CATALOGUE, ids=lambda rule: rule.name)
def test_a_rule_is_sound(rule: AlertRule) -> None:
    """Its limit is a key of the settings, its text has known fields only, and its name fits its column."""
    for key in (rule.threshold.limit, rule.threshold.least):
        assert not isinstance(key, str) or key in Thresholds.model_fields
    fields = {name for _, name, _, _ in Formatter().parse(rule.told) if name}
    assert fields <= FIELDS
    assert ("each" in fields) == (rule.label is not None)
    assert re.fullmatch(r"[a-z_]{1,32}", rule.name)
    assert rule.meaning.endswith(".")


def test_no_name_is_given_twice() -> None:
    """A name is one rule's."""
    assert len(RULES) == len(CATALOGUE)
    assert {*RULES, FLOOD} == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_documentation_has_a_section(name: str) -> None:
    """Each alert leads to a heading of the documentation, below which stands what it means."""
    assert anchor_of(name) == f"docs/alerts.md#{name}"
    _, _, below = DOCS.read_text(encoding="utf-8").partition(f"\n### {name}\n")
    section = " ".join(below.partition("\n### ")[0].split())
    assert (RULES[name].meaning if name in RULES else "There are too many alerts to send each.") in section
    severity = RULES[name].severity if name in RULES else Severity.CRITICAL
    assert f"**{severity.capitalize()}.**" in section


def test_every_measure_has_an_alert() -> None:
    """Nothing is measured against a limit of which nobody would be told."""
    assert {rule.threshold.measure for rule in CATALOGUE} == set(Measure)


def test_what_is_never_a_blip_fires_at_once() -> None:
    """Over-credits, holds, a refused token and an indexer that forgot are told at the first look."""
    at_once = {
        "over_credit",
        "indexer_forgot",
        "token_refused",
        "sending_held",
        "held_by_person",
        "plan_withheld",
    }
    assert {rule.name for rule in CATALOGUE if rule.fire_after == AT_ONCE} == at_once


def test_the_limits_of_the_contract() -> None:
    """Below 95% is critical, above 2 s is a warning, more than 10 that wait is for information."""
    expected = {
        "mint_success_low": (Severity.CRITICAL, 95),
        "mint_latency_high": (Severity.WARNING, 2),
        "retry_queue_long": (Severity.INFO, 10),
        "reconciliation_stale": (Severity.CRITICAL, 45 * 60),
        "purchase_missing_long": (Severity.CRITICAL, 24 * 3600),
    }
    for name, (severity, limit) in expected.items():
        assert (RULES[name].severity, RULES[name].threshold.limit_in(LIMITS)) == (severity, limit)


@pytest.mark.parametrize(
    "threshold, reading, bad",
    [
        (thresholds.RETRY_QUEUE, Reading(10), False),
        (thresholds.RETRY_QUEUE, Reading(11), True),
        (thresholds.MINT_LATENCY, Reading(2.0), False),
        (thresholds.MINT_LATENCY, Reading(2.001), True),
        (thresholds.MINT_LATENCY, Reading(float("inf")), True),
        (thresholds.MINT_LATENCY, Reading(None), None),
        (thresholds.MINT_SUCCESS, Reading(share=Share(19, 20)), False),
        (thresholds.MINT_SUCCESS, Reading(share=Share(949, 1000)), True),
        (thresholds.MINT_SUCCESS, Reading(share=Share(0, 19)), False),
        (thresholds.MINT_SUCCESS, Reading(share=Share(0, 0)), False),
        (thresholds.STALE, Reading(2700), False),
        (thresholds.STALE, Reading(2701), True),
        (thresholds.STALE, Reading(None), None),
        (thresholds.OVER_CREDITS, Reading(0), False),
        (thresholds.OVER_CREDITS, Reading(1), True),
    ],
)
def test_a_limit_itself_is_not_over_it(
    threshold: thresholds.Threshold,
    reading: Reading,
    bad: bool | None,  # noqa: FBT001 - a table of cases
) -> None:
    """Exactly at a limit is good, beyond it is bad, and of what is not known nothing is said."""
    assert threshold.is_bad(reading, LIMITS) is bad


@pytest.mark.parametrize(
    "text, label",
    [
        ("unknown_build", "unknown_build"),
        ("brk_0123456789ab", "brk_0123456789ab"),
        ("0123abcd", "0123abcd"),
        ("somebody@example.com", "other"),
        ("<script>", "other"),
        ("brk_0123456789ab\n", "other"),
        ("", "other"),
        ("a" * 33, "other"),
        ("größe", "other"),
    ],
)
def test_a_label_is_a_word_or_an_id(text: str, label: str) -> None:
    """Nothing that somebody else wrote becomes a label."""
    assert safe_label(text) == label
