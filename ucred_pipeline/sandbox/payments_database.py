"""The payments API's own database: a SQLite file in its schema, with its oddities."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE payment_intents (
    id TEXT PRIMARY KEY NOT NULL,
    stripe_payment_intent_id TEXT NOT NULL UNIQUE,
    amount_cents INTEGER NOT NULL,
    currency TEXT NOT NULL,
    customer_email TEXT NOT NULL,
    namespace_reserved TEXT,
    rarity_tier TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at TEXT NOT NULL,
    settled_at TEXT,
    partner_id TEXT,
    affiliate_id TEXT,
    affiliate_referral_code TEXT,
    disputed BOOLEAN NOT NULL DEFAULT 0,
    issuance_lock_token TEXT,
    processing_started_at TEXT,
    nil_name TEXT,
    nil_role TEXT CHECK (nil_role IN ('city', 'mascot')),
    nil_pair_key TEXT
);
CREATE TABLE issuances (
    id TEXT PRIMARY KEY NOT NULL,
    payment_intent_id TEXT NOT NULL REFERENCES payment_intents(id),
    namespace TEXT NOT NULL UNIQUE,
    certificate_ipfs_cid TEXT NOT NULL,
    certificate_hash_sha3 TEXT NOT NULL,
    customer_email TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    download_token TEXT NOT NULL UNIQUE,
    download_expires_at TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'processing', 'issued', 'failed', 'voided')),
    voided_at TEXT,
    retry_count INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    next_retry_at TEXT,
    nil_name TEXT,
    nil_role TEXT CHECK (nil_role IN ('city', 'mascot')),
    nil_pair_key TEXT
);
CREATE INDEX idx_issuances_payment_intent ON issuances(payment_intent_id);
CREATE TABLE affiliates (
    id TEXT PRIMARY KEY NOT NULL,
    email TEXT NOT NULL UNIQUE,
    referral_code TEXT NOT NULL UNIQUE,
    active BOOLEAN NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL
);
CREATE TABLE affiliate_earnings (
    id TEXT PRIMARY KEY NOT NULL,
    affiliate_id TEXT NOT NULL REFERENCES affiliates(id),
    payment_intent_id TEXT NOT NULL REFERENCES payment_intents(id),
    amount_cents INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    created_at TEXT NOT NULL
);
CREATE TABLE processed_stripe_events (
    event_id TEXT PRIMARY KEY NOT NULL,
    event_type TEXT NOT NULL,
    processed_at TEXT NOT NULL
);
CREATE TABLE issuance_retries (
    id TEXT PRIMARY KEY NOT NULL,
    issuance_id TEXT NOT NULL REFERENCES issuances(id),
    attempt INTEGER NOT NULL,
    error TEXT,
    attempted_at TEXT NOT NULL
);
CREATE TABLE friends_family_codes (
    code TEXT PRIMARY KEY NOT NULL,
    tier TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    created_at TEXT NOT NULL,
    used_at TEXT
);
"""


def driver_time(moment: datetime) -> str:
    """A time as the driver binds it: RFC 3339 with nine decimals and an offset."""
    # Some digit of the nanoseconds has to be there, and this one repeats.
    nanoseconds = moment.microsecond % 1000
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}{nanoseconds:03d}+00:00"


def sql_time(moment: datetime) -> str:
    """A time as SQL writes it: in seconds, UTC, without an offset."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """A row of `payment_intents`."""

    id: str
    stripe_id: str
    cents: int
    email: str
    namespace: str | None
    tier: str
    status: str
    created: datetime
    settled: datetime | None = None
    nil_name: str | None = None
    nil_role: str | None = None
    nil_pair_key: str | None = None
    #: Old builds stored the status without the quotation marks of JSON.
    quoted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuanceRow:
    """A row of `issuances`; without a token it has the placeholders of a pending one."""

    id: str
    payment: str
    namespace: str
    email: str
    issued: datetime
    expires: datetime
    token: str
    cid: str
    sha3: str
    state: str
    voided: datetime | None = None
    retries: int = 0
    last_error: str | None = None
    nil_name: str | None = None
    nil_role: str | None = None
    nil_pair_key: str | None = None


class PaymentsDatabase:
    """The writer of the file; it stays open, as the payments API does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """End the writer."""
        with self._lock:
            self._connection.close()

    def commit(self) -> None:
        """Let readers see what was written."""
        with self._lock:
            self._connection.commit()

    def add_payments(self, rows: Iterable[PaymentRow]) -> None:
        """Insert payments."""
        values = [
            (
                row.id,
                row.stripe_id,
                row.cents,
                "usd",
                row.email,
                row.namespace,
                row.tier,
                f'"{row.status}"' if row.quoted else row.status,
                driver_time(row.created),
                None if row.settled is None else driver_time(row.settled),
                row.nil_name,
                row.nil_role,
                row.nil_pair_key,
            )
            for row in rows
        ]
        self._write(
            "INSERT INTO payment_intents (id, stripe_payment_intent_id, amount_cents, currency,"
            " customer_email, namespace_reserved, rarity_tier, status, created_at, settled_at, nil_name,"
            " nil_role, nil_pair_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def add_issuances(self, rows: Iterable[IssuanceRow]) -> None:
        """Insert certificates, and what was to become one."""
        values = [
            (
                row.id,
                row.payment,
                row.namespace,
                row.cid,
                row.sha3,
                row.email,
                driver_time(row.issued),
                row.token,
                driver_time(row.expires),
                row.state,
                None if row.voided is None else sql_time(row.voided),
                row.retries,
                row.last_error,
                row.nil_name,
                row.nil_role,
                row.nil_pair_key,
            )
            for row in rows
        ]
        self._write(
            "INSERT INTO issuances (id, payment_intent_id, namespace, certificate_ipfs_cid,"
            " certificate_hash_sha3, customer_email, issued_at, download_token, download_expires_at, state,"
            " voided_at, retry_count, last_error, nil_name, nil_role, nil_pair_key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def add_retries(self, rows: Iterable[tuple[str, str, datetime]]) -> None:
        """Insert what the retry worker did: id, issuance, time."""
        self._write(
            "INSERT INTO issuance_retries (id, issuance_id, attempt, error, attempted_at)"
            " VALUES (?, ?, 1, NULL, ?)",
            [(retry, issuance, driver_time(at)) for retry, issuance, at in rows],
        )

    def add_codes(self, rows: Iterable[tuple[str, str, datetime]]) -> None:
        """Insert used codes of friends and family: code, tier, time."""
        self._write(
            "INSERT INTO friends_family_codes (code, tier, status, created_at, used_at)"
            " VALUES (?, ?, 'used', ?, ?)",
            [(code, tier, driver_time(at), driver_time(at)) for code, tier, at in rows],
        )

    def set_status(self, payment: str, status: str, settled: datetime | None) -> None:
        """Move a payment on, by its own id; `delivered` wipes the time of settlement."""
        moment = None if settled is None else driver_time(settled)
        self._write(
            "UPDATE payment_intents SET status = ?, settled_at = ? WHERE id = ?",
            [(f'"{status}"', moment, payment)],
        )

    def void(self, payment: str, at: datetime) -> None:
        """Void the certificates of a payment, as an early refund does."""
        self._write(
            "UPDATE issuances SET state = 'voided', voided_at = ? WHERE payment_intent_id = ?",
            [(sql_time(at), payment)],
        )

    def drop_issuances(self, payment: str) -> None:
        """Remove what was to become a certificate of a payment."""
        self._write("DELETE FROM issuances WHERE payment_intent_id = ?", [(payment,)])

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._lock:
            self._connection.executemany(statement, rows)
