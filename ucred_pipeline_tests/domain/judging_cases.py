"""Tables for the judge, as tests write them: a purchase that is owed and settled, unless said otherwise."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pandas as pd

from ucred_pipeline.domain.judging import judge
from ucred_pipeline.domain.judging_frames import AccountColumn, Evidence, PurchaseColumn

UCRED: Final = 10**18
HOUR: Final = 3_600_000_000
GRACE: Final = HOUR // 2
NOW: Final = 1_770_000_000_000_000
OLD: Final = NOW - 100 * HOUR
ANN: Final = "acct:user:ann@example.com"

BALANCES: Final = Evidence(now_us=NOW, grace_us=GRACE)
ALONE: Final = Evidence(now_us=NOW, grace_us=GRACE, other_writers=False)
DEBITS: Final = Evidence(now_us=NOW, grace_us=GRACE, debits_possible=True)
LOG: Final = Evidence(now_us=NOW, grace_us=GRACE, log_complete=True, log_as_of_us=NOW)

Row = Mapping[str, Any]


def purchase(name: str = "pi_1", /, **differing: Any) -> dict[str, Any]:
    """Describe a purchase: owed, settled, and without any proof unless said otherwise."""
    number = int("".join(filter(str.isdigit, name)) or 0)
    created = differing.get("created_us", OLD + number * HOUR)
    return {
        "payment_intent": name,
        "account": ANN,
        "namespace": f"{name}.x",
        "foreign": False,
        "succeeded": True,
        "payment_known": True,
        "stripe_whole": True,
        "refunded": False,
        "disputed": False,
        "issued_rows": 1,
        "voided": False,
        "created_us": created,
        "due_since_us": created,
        "needs_certificate": True,
        "entitlement": UCRED,
        "previous_verdict": None,
        "receipts": 0,
        "doubt": False,
        "lines": 0,
        "credited_in_part": False,
        "corrected": False,
        "lines_other_case": 0,
        "minted": False,
        "mint_refused": False,
        "shares_namespace": False,
        "addresses_differ": False,
        "stripe_address_differs": False,
        "name_unreadable": False,
        "unexplained": False,
        "decision": None,
        **differing,
    }


def young(name: str = "pi_9", /, **differing: Any) -> dict[str, Any]:
    """Describe a purchase within the grace period."""
    return purchase(name, created_us=NOW - 60_000_000, **differing)


def account(balance: object = 0, **differing: Any) -> dict[str, Any]:
    """Describe an account and its balance, read now."""
    standard = {"account": ANN, "as_of_us": NOW, "known_other_wei": 0, "proof_us": -1}
    return {"balance": balance, **standard, **differing}


def purchase_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Make the table of purchases."""
    return table(rows, PurchaseColumn)


def account_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Make the table of accounts."""
    return table(rows, AccountColumn)


def table(rows: Iterable[Row], columns: Iterable[str]) -> pd.DataFrame:
    """Make a table whose values are kept as they are."""
    names = [str(name) for name in columns]
    return pd.DataFrame([[row[name] for name in names] for row in rows], columns=names, dtype=object)


def judged(
    purchases: Iterable[Row], evidence: Evidence, accounts: Iterable[Row] = ()
) -> list[tuple[str, str, str]]:
    """Judge rows; give verdict, basis and reason of each."""
    findings = judge(purchase_table(purchases), account_table(accounts), evidence)
    return list(findings.itertuples(index=False, name=None))


def verdicts(purchases: Iterable[Row], evidence: Evidence, accounts: Iterable[Row] = ()) -> list[str]:
    """Judge rows; give the verdicts alone."""
    return [verdict for verdict, _, _ in judged(purchases, evidence, accounts)]


def verdict_and_reason(row: Row, evidence: Evidence, accounts: Iterable[Row] = ()) -> tuple[str, str]:
    """Judge one row alone."""
    ((verdict, _, reason),) = judged([row], evidence, accounts)
    return verdict, reason
