"""Judges by the slow and obvious judge, which is quicker than the real one for a handful of purchases.

The real one pays for tables that take a million purchases. Every so many schedules it judges here too,
and must say the same.
"""

from collections import defaultdict
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, String, bindparam, select, type_coerce

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.domain.corrections import ACTIVE, CorrectionState
from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline.domain.memos import TOP_UP
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.ledger.decisions import CALLED_NOT_CREDITED, decisions_in_force, lapse_decisions
from ucred_pipeline.ledger.judging_tables import PAID_ELSEWHERE, Coverage
from ucred_pipeline.ledger.purchases import clear_marks
from ucred_pipeline.ledger.safety import THE_EPOCH
from ucred_pipeline.ledger.schema import (
    accounts_left,
    balances,
    corrections,
    credit_lines,
    dirty_groups,
    purchases,
)
from ucred_pipeline.orchestration import judgement
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline_tests.domain.slow_judge import Row, judge_account

_FLAGS: Final = ("minted", "mint_refused", "shares_namespace", "name_unreadable", "credited_in_part")


_MARKED: Final = select(purchases, PAID_ELSEWHERE.label("stripe_address_differs")).join(
    dirty_groups, dirty_groups.c.judged_with == purchases.c.judged_with
)
_LEFT: Final = (
    select(purchases, accounts_left.c.account.label("left"), accounts_left.c.at_stripe)
    .join(accounts_left, accounts_left.c.payment_intent == purchases.c.payment_intent)
    .join(dirty_groups, dirty_groups.c.judged_with == accounts_left.c.account)
    .where(accounts_left.c.account != purchases.c.account, ~CALLED_NOT_CREDITED)
)
_VERDICTS: Final = select(
    purchases.c.payment_intent, purchases.c.verdict, purchases.c.reason, purchases.c.created
).where(purchases.c.payment_intent.in_(bindparam("judged", expanding=True)))
_OWN: Final = select(
    corrections.c.id, corrections.c.payment_intent, corrections.c.account, corrections.c.state,
    corrections.c.changed,
).where(
    corrections.c.state.in_([CorrectionState.CONFIRMED, *sorted(ACTIVE)]), corrections.c.epoch == THE_EPOCH
)  # fmt: skip
_LINES: Final = select(
    credit_lines.c.account, credit_lines.c.namespace, credit_lines.c.correction, credit_lines.c.memo,
    type_coerce(credit_lines.c.amount, String).label("wei"), credit_lines.c.at,
).where(credit_lines.c.current)  # fmt: skip
_BALANCES: Final = select(
    balances.c.account, balances.c.wei, type_coerce(balances.c.began, BigInteger).label("began"),
    balances.c.root,
).where(balances.c.account.in_(bindparam("accounts", expanding=True)))  # fmt: skip


def judge_marked(pipeline: Pipeline) -> None:
    """Judge what is marked, as `orchestration.judgement.judge_marked` does."""
    now = pipeline.clock.now()
    with pipeline.ledger.write() as connection:
        basis = judgement.gather(pipeline, connection, now)
        lapse_decisions(connection, now)
        judgement.keep_verdicts(connection, _changed(connection, basis.evidence, basis.coverage), now)
        clear_marks(connection)


def verdicts(connection: Connection, evidence: Evidence, coverage: Coverage) -> dict[str, tuple[str, str]]:
    """Judge every purchase of the marked accounts: verdict and reason."""
    marked = list(connection.execute(_MARKED).mappings())
    if not marked:
        return {}
    own, lines = list(connection.execute(_OWN)), list(connection.execute(_LINES))
    decided = decisions_in_force(connection)
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in marked:
        decision = decided.get(row["payment_intent"])
        grouped[row["account"]].append({**_row(dict(row), own, lines, coverage), "decision": decision})
    for row in connection.execute(_LEFT).mappings():
        minted_here = row["at_stripe"] and _is_minted(row["account"], row["namespace"], lines)
        if not minted_here and not _has_receipt(row["payment_intent"], row["left"], own):
            grouped[row["left"]].append(_elsewhere(dict(row)))
    for account, group in grouped.items():
        unexplained = _has_unexplained(account, group, own, lines)
        for each in group:
            each["unexplained"] = unexplained
    held = {
        row.account: _balance(row, grouped[row.account], own, lines, coverage)
        for row in connection.execute(_BALANCES, {"accounts": list(grouped)})
    }
    found: dict[str, tuple[str, str]] = {}
    for account, group in grouped.items():
        found |= judge_account(group, held.get(account), evidence)
    return {row["payment_intent"]: found[row["payment_intent"]] for row in marked}


def _changed(connection: Connection, evidence: Evidence, coverage: Coverage) -> list[dict[str, Any]]:
    found = verdicts(connection, evidence, coverage)
    if not found:
        return []
    return [
        {
            "payment_intent": row.payment_intent,
            "verdict": found[row.payment_intent][0],
            "basis": "none",
            "reason": found[row.payment_intent][1],
            "created_us": to_micros(row.created),
        }
        for row in connection.execute(_VERDICTS, {"judged": list(found)})
        if (row.verdict, row.reason) != found[row.payment_intent]
    ]


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
    return {
        **row,
        **dict.fromkeys(_FLAGS, False),
        "foreign": row["is_foreign"],
        "created_us": created,
        "due_since_us": -1 if row["due_since"] is None else to_micros(row["due_since"]),
        "stripe_whole": coverage.stripe_since_us <= created < coverage.stripe_until_us,
        "previous_verdict": row["verdict"],
        "receipts": receipts,
        "doubt": any(each.state in ACTIVE for each in mine),
        "lines": len(others),
        "corrected": any(line.correction for line in others),
        "lines_other_case": sum(
            line.namespace == row["namespace"]
            and line.account != row["account"]
            and line.correction not in confirmed
            for line in lines
        ),
        "addresses_differ": row["addresses_differ"] or row["moved"],
    }


def _has_receipt(payment_intent: str, account: str, own: list[Any]) -> bool:
    return any(
        (each.payment_intent, each.account, each.state)
        == (payment_intent, account, CorrectionState.CONFIRMED)
        for each in own
    )


def _is_minted(account: str, namespace: str, lines: list[Any]) -> bool:
    return any((line.account, line.memo) == (account, f"purchase:{namespace}") for line in lines)


def _elsewhere(row: Row) -> Row:
    """What a purchase may have left on an account: one credit, which nobody can attribute."""
    created = to_micros(row["created"])
    return {
        **row,
        **dict.fromkeys(_FLAGS, False),
        "payment_intent": f"{row['payment_intent']} {row['left']}",
        "namespace": None,
        "foreign": False,
        "created_us": created,
        "due_since_us": -1 if row["due_since"] is None else to_micros(row["due_since"]),
        "succeeded": True,
        "refunded": False,
        "stripe_whole": True,
        "issued_rows": 1,
        "previous_verdict": None,
        "receipts": 0,
        "doubt": False,
        "lines": 0,
        "corrected": False,
        "lines_other_case": 0,
        "addresses_differ": True,
        "stripe_address_differs": False,
        "decision": None,
    }


def _has_unexplained(account: str, group: list[Row], own: list[Any], lines: list[Any]) -> bool:
    """Whether a line on the account, and no top-up, names no purchase of it."""
    confirmed = {each.id for each in own if each.state == CorrectionState.CONFIRMED}
    named = {row["namespace"] for row in group}
    return any(
        line.account == account
        and line.correction not in confirmed
        and line.namespace not in named
        and not line.memo.startswith(TOP_UP)
        for line in lines
    )


def _times(correction: Any, lines: list[Any]) -> int:
    return max([line.correction for line in lines].count(correction.id), 1)


def _balance(row: Any, group: list[Row], own: list[Any], lines: list[Any], coverage: Coverage) -> Row:
    still_holds = coverage.root is not None and row.root == coverage.root
    on_account = [line for line in lines if line.account == row.account]
    confirmed = [
        each for each in own if each.account == row.account and each.state == CorrectionState.CONFIRMED
    ]
    ids = {each.id for each in confirmed}
    told = [to_micros(line.at) + coverage.skew_us for line in on_account if line.correction not in ids]
    told += [to_micros(each.changed) for each in confirmed]
    top_ups = sum(int(line.wei) for line in on_account if line.memo.startswith(TOP_UP))
    given = sum(_times(each, lines) for each in confirmed)
    counted = sum(each["receipts"] for each in group)
    return {
        "balance": row.wei,
        "as_of_us": max(row.began, coverage.root_as_of_us) if still_holds else row.began,
        "known_other_wei": top_ups + (given - counted) * WEI_PER_UCRED,
        "proof_us": max(told, default=-1),
    }
