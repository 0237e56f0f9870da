"""Judges by the slow and obvious judge, which is quicker than the real one for a handful of purchases.

The real one pays for tables that take a million purchases. Every so many schedules it judges here too,
and must say the same.
"""

from collections import defaultdict
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, String, select, type_coerce

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.domain.corrections import ACTIVE, CorrectionState
from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline.domain.memos import TOP_UP
from ucred_pipeline.ledger.breaks import resolve_orphans, update_breaks
from ucred_pipeline.ledger.judging_tables import Coverage
from ucred_pipeline.ledger.purchases import clear_marks, mark_pending, refresh_purchases, store_verdicts
from ucred_pipeline.ledger.safety import current_epoch
from ucred_pipeline.ledger.schema import (
    balances,
    corrections,
    credit_lines,
    dirty_groups,
    purchases,
)
from ucred_pipeline.orchestration import judgement
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline_tests.domain.slow_judge import Row, judge_account

_FLAGS: Final = ("minted", "mint_refused", "shares_namespace", "name_unreadable", "unexplained")


def judge_marked(pipeline: Pipeline) -> None:
    """Judge what is marked, as `orchestration.judgement.judge_marked` does."""
    now = pipeline.clock.now()
    with pipeline.ledger.write() as connection:
        evidence = judgement._evidence(pipeline, connection, now)
        judgement._mark_what_changed_for_all(pipeline, connection, evidence)
        refresh_purchases(connection, pipeline.purchase_rules())
        mark_pending(connection)
        changed = _changed(connection, evidence, judgement._coverage(pipeline, connection))
        store_verdicts(connection, changed, now)
        update_breaks(connection, changed, now)
        resolve_orphans(connection, now)
        clear_marks(connection)


def verdicts(connection: Connection, evidence: Evidence, coverage: Coverage) -> dict[str, tuple[str, str]]:
    """Judge every purchase of the marked accounts: verdict and reason."""
    rows = _rows(connection, coverage)
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["account"]].append(row)
    held = _balances(connection, coverage, list(grouped))
    found: dict[str, tuple[str, str]] = {}
    for account, group in grouped.items():
        found |= judge_account(group, held.get(account), evidence)
    return found


def _changed(connection: Connection, evidence: Evidence, coverage: Coverage) -> list[dict[str, Any]]:
    found = verdicts(connection, evidence, coverage)
    if not found:
        return []
    p = purchases.c
    chosen = select(p.payment_intent, p.verdict, p.reason, p.created).where(p.payment_intent.in_(found))
    return [
        {
            "payment_intent": row.payment_intent,
            "verdict": found[row.payment_intent][0],
            "basis": "none",
            "reason": found[row.payment_intent][1],
            "created_us": to_micros(row.created),
        }
        for row in connection.execute(chosen)
        if (row.verdict, row.reason) != found[row.payment_intent]
    ]


def _rows(connection: Connection, coverage: Coverage) -> list[Row]:
    chosen = select(purchases).join(dirty_groups, dirty_groups.c.judged_with == purchases.c.judged_with)
    found = list(connection.execute(chosen).mappings())
    own, lines = _own(connection), _lines(connection)
    return [_row(dict(row), own, lines, coverage) for row in found]


def _row(row: Row, own: list[Any], lines: list[Any], coverage: Coverage) -> Row:
    mine = [each for each in own if each.payment_intent == row["payment_intent"]]
    receipts = sum(_times(each, lines) for each in mine if each.state == CorrectionState.CONFIRMED)
    confirmed = {each.id for each in own if each.state == CorrectionState.CONFIRMED}
    others = [
        line
        for line in lines
        if line.namespace == row["namespace"]
        and line.account == row["account"]
        and line.correction not in confirmed
    ]
    created = to_micros(row["created"])
    return dict.fromkeys(_FLAGS, False) | {
        **row,
        "foreign": row["is_foreign"],
        "created_us": created,
        "due_since_us": -1 if row["due_since"] is None else to_micros(row["due_since"]),
        "stripe_whole": coverage.stripe_since_us <= created < coverage.stripe_until_us,
        "previous_verdict": row["verdict"],
        "receipts": receipts,
        "doubt": any(each.state in ACTIVE for each in mine),
        "lines": len(others),
        "corrected": any(line.correction for line in others),
        "lines_other_case": 0,
        "decision": None,
    }


def _times(correction: Any, lines: list[Any]) -> int:
    return max([line.correction for line in lines].count(correction.id), 1)


def _own(connection: Connection) -> list[Any]:
    c = corrections.c
    states = [CorrectionState.CONFIRMED, *sorted(ACTIVE)]
    chosen = select(c.id, c.payment_intent, c.account, c.state, c.changed)
    of_epoch = c.epoch == current_epoch(connection)
    return list(connection.execute(chosen.where(c.state.in_(states), of_epoch)))


def _lines(connection: Connection) -> list[Any]:
    c = credit_lines.c
    chosen = select(c.account, c.namespace, c.correction, c.memo, type_coerce(c.amount, String), c.at)
    return list(connection.execute(chosen.where(c.current)))


def _balances(connection: Connection, coverage: Coverage, accounts: list[str]) -> dict[str, Row]:
    b = balances.c
    chosen = select(b.account, b.wei, type_coerce(b.began, BigInteger).label("began"), b.root)
    lines, own = _lines(connection), _own(connection)
    found = {}
    for row in connection.execute(chosen.where(b.account.in_(accounts))):
        still_holds = coverage.root is not None and row.root == coverage.root
        as_of = max(row.began, coverage.root_as_of_us) if still_holds else row.began
        on_account = [line for line in lines if line.account == row.account]
        confirmed = [
            each for each in own if each.account == row.account and each.state == CorrectionState.CONFIRMED
        ]
        ids = {each.id for each in confirmed}
        told = [to_micros(line.at) + coverage.skew_us for line in on_account if line.correction not in ids]
        told += [to_micros(each.changed) for each in confirmed]
        found[row.account] = {
            "balance": row.wei,
            "as_of_us": as_of,
            "known_other_wei": sum(int(line[4]) for line in on_account if line.memo.startswith(TOP_UP)),
            "proof_us": max(told, default=-1),
        }
    return found
