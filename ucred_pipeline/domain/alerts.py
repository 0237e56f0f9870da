"""The alerts: a catalogue of what is watched, how grave it is, what it means, and what to do.

It is data, from which the built-in engine, the documentation and the rules of other systems are made.
An alert's text is built from its template and numbers alone: nothing that a customer or another
system wrote has a way into it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

import orjson

from ucred_pipeline.domain import thresholds
from ucred_pipeline.domain.thresholds import Measure, Threshold

#: How often in a row a measure must be bad before an alert fires, and good before it resolves.
FIRE_AFTER: Final = 2
RESOLVE_AFTER: Final = 3
AT_ONCE: Final = 1
#: How often the measures are evaluated.
EVERY: Final = timedelta(minutes=1)
#: What a label may be: the id of a break or a route, or a word of ours.
_LABEL: Final = re.compile(r"[a-z][a-z_]{0,31}|brk_[0-9a-f]{12}|[0-9a-f]{8}", re.ASCII)
_ELSE: Final = "other"


class Severity(StrEnum):
    """How grave an alert is, which decides whom it is sent to and how often."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """The graver the higher."""
        return len(Severity) - list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One kind of alert.

    `label` names what there is one alert for each of, where there is; `told` is the sentence, with the
    fields {value}, {limit}, {part}, {whole}, {percent}, {hours}, {ucred}, {each} and no others.
    """

    name: str
    severity: Severity
    threshold: Threshold
    meaning: str
    told: str
    label: str | None = None
    fire_after: int = FIRE_AFTER


#: The label of alerts of which there may be any number: one for each break.
BREAK: Final = "break"

CATALOGUE: Final = (
    AlertRule(
        "mint_success_low",
        Severity.CRITICAL,
        thresholds.MINT_SUCCESS,
        "The payments API fails to credit too many purchases by itself.",
        "{part} of {whole} purchases of the last {hours} h ({percent}) were credited by the payments API "
        "itself; the limit is {limit}%.",
    ),
    AlertRule(
        "mint_latency_high",
        Severity.WARNING,
        thresholds.MINT_LATENCY,
        "Credits of the payments API arrive late.",
        "The 95th percentile from certificate to credit is {value}; the limit is {limit}.",
    ),
    AlertRule(
        "retry_queue_long",
        Severity.INFO,
        thresholds.RETRY_QUEUE,
        "Many corrections wait to be sent again or settled.",
        "Corrections that wait to be sent again or settled: {value}; the limit is {limit}.",
    ),
    AlertRule(
        "purchases_missing",
        Severity.WARNING,
        Threshold(Measure.MISSING_PURCHASES, "missing_purchases"),
        "Purchases lack their UCRED, and it was not credited at once.",
        "Purchases that lack their UCRED: {value}, of {ucred} UCRED in all; the limit is {limit}.",
    ),
    AlertRule(
        "purchase_missing_long",
        Severity.CRITICAL,
        Threshold(Measure.MISSING_AGE, "missing_age_s"),
        "A purchase has lacked its UCRED for longer than it may.",
        "The purchase of break {each} has lacked its UCRED for longer than {limit}.",
        label=BREAK,
    ),
    AlertRule(
        "over_credit",
        Severity.CRITICAL,
        thresholds.OVER_CREDITS,
        "More UCRED arrived than was owed.",
        "The purchase of break {each} was credited more than was owed.",
        label=BREAK,
        fire_after=AT_ONCE,
    ),
    AlertRule(
        "doubt_old",
        Severity.WARNING,
        thresholds.DOUBTS,
        "A credit may or may not have arrived, and the evidence does not settle it.",
        "The correction of break {each} has been in doubt for longer than {limit}.",
        label=BREAK,
    ),
    AlertRule(
        "purchases_unissued",
        Severity.WARNING,
        Threshold(Measure.UNISSUED, 0),
        "Purchases are paid and have no certificate.",
        "Purchases that are paid and have no certificate: {value}.",
    ),
    AlertRule(
        "purchases_unpaid",
        Severity.WARNING,
        Threshold(Measure.UNPAID, 0),
        "Certificates have no successful payment.",
        "Certificates that have no successful payment: {value}.",
    ),
    AlertRule(
        "purchases_ambiguous",
        Severity.INFO,
        Threshold(Measure.AMBIGUOUS, 0),
        "The evidence about purchases cannot decide; a person must.",
        "Purchases that wait for a person's decision: {value}.",
    ),
    AlertRule(
        "purchases_withdrawn",
        Severity.INFO,
        Threshold(Measure.WITHDRAWN, 0),
        "Purchases were refunded, disputed or voided after they were credited.",
        "Purchases that were refunded, disputed or voided after they were credited: {value}.",
    ),
    AlertRule(
        "reconciliation_stale",
        Severity.CRITICAL,
        thresholds.STALE,
        "No run has come to its end for too long: what is missing is not seen.",
        "The last run that came to its end did so {value} ago; the limit is {limit}.",
    ),
    AlertRule(
        "runs_failed",
        Severity.WARNING,
        Threshold(Measure.FAILED_RUNS, "failed_runs"),
        "Runs failed: by a fault, by a setting, or because a source could not be read whole.",
        "Runs of the last {hours} h that failed: {value}; the limit is {limit}.",
    ),
    AlertRule(
        "sending_held",
        Severity.CRITICAL,
        Threshold(Measure.HOLDS, 0),
        "A hold is in force: nothing is sent until a person releases it.",
        "A hold is in force ({each}): nothing is sent until a person releases it.",
        label="kind",
        fire_after=AT_ONCE,
    ),
    AlertRule(
        "held_by_person",
        Severity.WARNING,
        Threshold(Measure.HOLDS_BY_PERSONS, 0),
        "A person has stopped all sending.",
        "A person has stopped all sending, until somebody releases it.",
        fire_after=AT_ONCE,
    ),
    AlertRule(
        "indexer_forgot",
        Severity.CRITICAL,
        Threshold(Measure.INDEXER_FORGOT, 0),
        "The indexer has forgotten credits that it acknowledged.",
        "The indexer has forgotten credits that it acknowledged; nothing is sent until a person decides.",
        fire_after=AT_ONCE,
    ),
    AlertRule(
        "token_refused",
        Severity.CRITICAL,
        Threshold(Measure.TOKEN_REFUSED, 0),
        "The indexer refuses the token that may credit.",
        "The indexer refused the token that may credit; nothing is sent until there is a good one.",
        fire_after=AT_ONCE,
    ),
    AlertRule(
        "plan_withheld",
        Severity.WARNING,
        Threshold(Measure.PLANS_WITHHELD, 0),
        "A plan is over a limit and waits for a person's approval.",
        "Plans that are over a limit and wait for an approval: {value}; the largest has {ucred} UCRED.",
        fire_after=AT_ONCE,
    ),
    AlertRule(
        "gate_closed",
        Severity.WARNING,
        Threshold(Measure.GATES_CLOSED, 0),
        "The newest run that might send did not: what it must know before was not so.",
        "The newest run that might send sent nothing ({each}).",
        label="gate",
    ),
    AlertRule(
        "breaker_opened",
        Severity.WARNING,
        Threshold(Measure.BREAKER_OPENINGS, 0),
        "Credits in a row had no clear answer, and the run stopped sending.",
        "Times in a row that the breaker has opened: {value}.",
    ),
    AlertRule(
        "route_failing",
        Severity.WARNING,
        Threshold(Measure.ROUTE_BACKLOG_AGE, "route_backlog_s"),
        "Messages do not get through on one of the routes.",
        "A message waits for longer than {limit} on the route {each}.",
        label="route",
    ),
)
RULES: Final[Mapping[str, AlertRule]] = {rule.name: rule for rule in CATALOGUE}
#: Raised in place of alerts of which there are too many to be sent singly.
FLOOD: Final = "alerts_withheld"
NAMES: Final = frozenset(RULES) | {FLOOD}


def anchor_of(name: str) -> str:
    """Where the documentation says what to do about an alert of a name."""
    return f"docs/alerts.md#{name}"


def safe_label(text: str) -> str:
    """Give a label as it is where it is a word or an id of ours; anything else is `other`."""
    return text if _LABEL.fullmatch(text) else _ELSE


def key_of(name: str, labels: Mapping[str, str]) -> str:
    """Identify an alert: by its name and labels, never by its values."""
    told = orjson.dumps([name, dict(labels)], option=orjson.OPT_SORT_KEYS)
    return f"alr_{sha256(told).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at one alert's measure found; `told` is the sentence that says it."""

    name: str
    severity: Severity
    bad: bool | None
    told: str
    labels: Mapping[str, str] = field(default_factory=dict)
    fire_after: int = FIRE_AFTER

    @property
    def key(self) -> str:
        """Which alert it is about."""
        return key_of(self.name, self.labels)
