"""A ledger of a million purchases, made by plain inserts: the page and /metrics are measured on it."""

import sqlite3
import sys
from pathlib import Path

from ucred_pipeline.domain.clock import SystemClock, to_micros
from ucred_pipeline.ledger.breaks import break_id
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.mints import note_mints
from ucred_pipeline.ledger.tallies import take_tallies

PURCHASES = 1_000_000
_DAYS = 365
_DAY_US = 86_400_000_000
_MIX = """
CASE WHEN n % 50 = 7 THEN 'lacking' WHEN n % 5000 = 11 THEN 'in_doubt' WHEN n % 2500 = 13 THEN 'ambiguous'
WHEN n % 3000 = 17 THEN 'over_credited' WHEN n % 200 = 19 THEN 'withdrawn' WHEN n % 4000 = 23 THEN 'unissued'
WHEN n > :count - 40 THEN 'pending' ELSE 'credited' END
"""
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)"
_PAYMENT = (
    "payment_intent, created, status, currency, received, refunded, dispute, paid, receipt_email, metadata"
)
_STATEMENTS = (
    f"""
    CREATE TEMP TABLE made AS {_NUMBERS}
    SELECT n, 'pi_' || printf('%024d', n) AS pi, :first + n * :step AS created, n || '.x' AS namespace,
    'acct:user:buyer' || (n * 7919 % 600000) || '@example.com' AS account, {_MIX} AS verdict FROM numbers
    """,
    f"""
    INSERT INTO payments ({_PAYMENT}) SELECT pi, created, 'succeeded', 'usd', 999, 0, 'none',
    created + 5000000, substr(account, 11), '{{}}' FROM made
    """,
    f"""
    INSERT INTO payments ({_PAYMENT}) SELECT 'pi_abandoned' || n, created, 'requires_payment_method', 'usd',
    0, 0, 'none', NULL, substr(account, 11), '{{}}' FROM made WHERE n % 20 = 0
    """,
    """
    INSERT INTO issuances (id, payment_intent, namespace, customer_email, state, issued)
    SELECT 'iss_' || n, pi, namespace, substr(account, 11), 'issued', created + 20000000
    FROM made WHERE verdict != 'unissued'
    """,
    """
    INSERT INTO purchases (payment_intent, judged_with, account, namespace, purchase_type, entitlement, rule,
    needs_certificate, is_foreign, payment_known, succeeded, refunded, disputed, voided, addresses_differ,
    issued_rows, created, issued, due_since, moved, verdict, basis, reason, judged)
    SELECT pi, account, account, namespace, 'namespace', '1000000000000000000', 'namespace', 1, 0, 1, 1, 0, 0,
    0, 0, verdict != 'unissued', created, CASE WHEN verdict != 'unissued' THEN created + 20000000 END,
    created + 20000000, 0, verdict, CASE WHEN verdict = 'credited' THEN 'log' ELSE 'none' END,
    CASE verdict WHEN 'credited' THEN 'log_line' WHEN 'lacking' THEN 'log_shows_none'
    WHEN 'in_doubt' THEN 'correction_in_doubt' WHEN 'over_credited' THEN 'credited_twice'
    WHEN 'withdrawn' THEN 'refunded' WHEN 'unissued' THEN 'no_certificate' WHEN 'pending' THEN 'within_grace'
    ELSE 'two_certificates' END, :now FROM made
    """,
    """
    INSERT INTO credit_lines (key, at, account, amount, memo, namespace, new_balance, state_root, current)
    SELECT printf('%064d', n), created + 20000000 + 200000 + n * 31 % 900000, account, '1000000000000000000',
    'purchase:' || namespace, namespace, '1000000000000000000', printf('%064d', n), 1
    FROM made WHERE verdict IN ('credited', 'over_credited')
    """,
    """
    INSERT INTO breaks (id, payment_intent, kind, first_seen)
    SELECT named(pi, verdict), pi, verdict, created + 2000000000 FROM made
    WHERE verdict IN ('lacking', 'in_doubt', 'ambiguous', 'over_credited', 'unissued')
    """,
    f"""
    INSERT INTO runs (id, began, finished, applied, outcome, detail, summary) {_NUMBERS}
    SELECT 'run-' || n, :now - n * 900000000 - 65000000, :now - n * 900000000 - 60000000, 1, 'done', '',
    '{{}}' FROM numbers WHERE n < 20000
    """,
    "INSERT INTO dirty_groups (judged_with) SELECT DISTINCT judged_with FROM purchases",
)


def make(file: Path, count: int = PURCHASES) -> str:
    """Make the ledger, as the newest run left it a minute ago; give its URL."""
    url = f"sqlite:///{file.as_posix()}"
    Ledger.open(url).close()
    now = to_micros(SystemClock().now())
    step = _DAYS * _DAY_US // count
    values = {"count": count, "now": now, "first": now - count * step, "step": step}
    raw = sqlite3.connect(file)
    raw.create_function("named", 2, break_id, deterministic=True)
    raw.executescript("PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-400000")
    with raw:
        for statement in _STATEMENTS:
            names = {name: value for name, value in values.items() if f":{name}" in statement}
            raw.execute(statement, names)
    raw.close()
    with Ledger.open(url) as ledger, ledger.write() as connection:
        note_mints(connection)
        take_tallies(connection, SystemClock().now())
        connection.exec_driver_sql("DELETE FROM dirty_groups")
    return url


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
