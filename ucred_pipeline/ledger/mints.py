"""What became of each mint of the payments API, kept beside its verdict and counted once.

Judging works it out for the accounts that it has judged, in its own transaction: `minted` says whether
the payments API itself credited what was owed (None where nothing is owed, or never certified),
`arrived` when the first credit that names the purchase came, by the indexer's log. So no figure asks
for more than an index.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Exists,
    Label,
    and_,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from ucred_pipeline.domain.corrections import WITHDRAWN
from ucred_pipeline.domain.verdicts import Basis, Reason, Verdict
from ucred_pipeline.ledger.schema import corrections, credit_lines, dirty_groups, mint_counters, purchases
from ucred_pipeline.ledger.upsert import upsert

#: Past its grace period and owed a credit.
OWED: Final = (
    Verdict.CREDITED,
    Verdict.LACKING,
    Verdict.IN_DOUBT,
    Verdict.AMBIGUOUS,
    Verdict.OVER_CREDITED,
)
#: Why a mint counts as failed: what the purchase was judged to be, or that somebody else credited it.
CREDITED_OTHERWISE: Final = "credited_otherwise"
FAILURES: Final = (Verdict.LACKING.value, Verdict.IN_DOUBT.value, Verdict.AMBIGUOUS.value, CREDITED_OTHERWISE)
#: The upper ends of the latency's buckets, in milliseconds; what is missing is beyond all of them.
LATENCY_BUCKETS_MS: Final = (100, 250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 1_800_000)
_BEYOND: Final = "inf"
#: When a credit came that did not.
NEVER: Final = -1

_P = purchases.c


@dataclass(frozen=True, slots=True)
class MintCounters:
    """What was counted since the ledger began; it only grows.

    `latency` has the mints up to each of LATENCY_BUCKETS_MS that are beyond the one before, and last
    those beyond all, among them the ones that are missing. `latency_us` sums up what was measured.
    """

    attempts: int
    failures: Mapping[str, int]
    latency: tuple[int, ...]
    latency_us: int


def note_mints(connection: Connection) -> None:
    """Work out and count what became of the mints of the marked accounts."""
    _work_out(connection)
    _count(connection)


def read_mint_counters(connection: Connection) -> MintCounters:
    """Read the counters; what was never counted is 0."""
    c = mint_counters.c
    found = {(row.name, row.label): row.value for row in connection.execute(select(c.name, c.label, c.value))}
    labels = (*map(str, LATENCY_BUCKETS_MS), _BEYOND)
    return MintCounters(
        attempts=found.get(("attempts", ""), 0),
        failures={reason: found.get(("failures", reason), 0) for reason in FAILURES},
        latency=tuple(found.get(("latency", label), 0) for label in labels),
        latency_us=found.get(("latency_us", ""), 0),
    )


def _marked() -> ColumnElement[bool]:
    return _P.judged_with.in_(select(dirty_groups.c.judged_with))


def _work_out(connection: Connection) -> None:
    is_due = _P.reason.is_distinct_from(Reason.DATED_AHEAD)
    owed = and_(_P.verdict.in_(OWED), _P.issued.is_not(None), is_due)
    fresh = (
        select(
            _P.payment_intent,
            case((owed, _minted()), else_=null()).label("minted"),
            case((owed, _arrived()), else_=null()).label("arrived"),
        )
        .where(_marked())
        .subquery("fresh")
    )
    differs = or_(
        _P.minted.is_distinct_from(fresh.c.minted),
        type_coerce(_P.arrived, BigInteger).is_distinct_from(fresh.c.arrived),
    )
    connection.execute(
        update(purchases)
        .where(_P.payment_intent == fresh.c.payment_intent, differs)
        .values(minted=fresh.c.minted, arrived=fresh.c.arrived)
    )


def _minted() -> ColumnElement[bool]:
    """Whether the payments API itself credited; what a correction credited, or is in doubt, is no success."""
    corrected = exists().where(
        corrections.c.payment_intent == _P.payment_intent, corrections.c.state.not_in(sorted(WITHDRAWN))
    )
    return and_(
        _P.verdict.in_([Verdict.CREDITED, Verdict.OVER_CREDITED]),
        ~corrected,
        or_(_P.basis != Basis.LOG, minted_line()),
    )


def minted_line() -> Exists:
    """Whether the indexer's log shows that the payments API credited a purchase on its account."""
    return exists().where(
        credit_lines.c.account == _P.account,
        credit_lines.c.memo == "purchase:" + _P.namespace,
        credit_lines.c.current,
    )


def _arrived() -> ColumnElement[Any]:
    first = (
        select(func.min(type_coerce(credit_lines.c.at, BigInteger)))
        .where(
            credit_lines.c.namespace == _P.namespace,
            credit_lines.c.account == _P.account,
            credit_lines.c.current,
        )
        .correlate(purchases)
    )
    return first.scalar_subquery()


def _count(connection: Connection) -> None:
    """Count each mint once when it is first owed, and once more when it is first seen to have failed."""
    is_new = and_(_P.minted.is_not(None), _P.counted.is_(None))
    failed_since = and_(_P.counted.is_(True), _P.minted.is_(False))
    chosen = (
        select(is_new.label("is_new"), _P.minted, _why(), _bucket(), func.count().label("mints"), _sum_us())
        .where(_marked(), or_(is_new, failed_since))
        .group_by("is_new", _P.minted, "why", "bucket")
    )
    found = connection.execute(chosen).all()
    if not found:
        return
    logged = connection.execute(select(credit_lines.c.key).limit(1)).first() is not None
    grown: Counter[tuple[str, str]] = Counter()
    for row in found:
        if row.is_new:
            grown["attempts", ""] += row.mints
        if not row.minted:
            grown["failures", row.why] += row.mints
        if row.is_new and logged:
            grown["latency", row.bucket] += row.mints
            grown["latency_us", ""] += int(row.sum_us or 0)
    _add(connection, grown)
    settled = update(purchases).where(_marked(), or_(is_new, failed_since))
    connection.execute(settled.values(counted=_P.minted))


def _why() -> Label[str]:
    has_it = _P.verdict.in_([Verdict.CREDITED, Verdict.OVER_CREDITED])
    return case((has_it, CREDITED_OTHERWISE), else_=_P.verdict).label("why")


def latency_us() -> ColumnElement[int]:
    """Microseconds from certificate to credit."""
    return type_coerce(_P.arrived, BigInteger) - type_coerce(_P.issued, BigInteger)


def _bucket() -> Label[str]:
    ends = [(latency_us() <= end * 1000, literal(str(end))) for end in LATENCY_BUCKETS_MS]
    return case(*ends, else_=_BEYOND).label("bucket")


def _sum_us() -> Label[int]:
    """The sum only grows: a credit that seems to come before its certificate, by two clocks, took no time."""
    return func.sum(case((latency_us() > 0, latency_us()), else_=0)).label("sum_us")


def _add(connection: Connection, grown: Mapping[tuple[str, str], int]) -> None:
    c = mint_counters.c
    before = {
        (row.name, row.label): row.value for row in connection.execute(select(c.name, c.label, c.value))
    }
    rows = [
        {"name": name, "label": label, "value": before.get((name, label), 0) + count}
        for (name, label), count in grown.items()
        if count
    ]
    upsert(connection, mint_counters, rows)
