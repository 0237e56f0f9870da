"""The mirror tables: what the sources said, kept by upsert, with a mark on whatever changed.

A changed payment, record or issuance marks its payment as dirty; a changed balance or a new line
of a log marks its account. Judging takes what is marked, so a run costs what changed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, select, update

from ucred_pipeline.domain.evidence import BalanceReading, CreditLine, MintLine
from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.domain.memos import read_memo
from ucred_pipeline.domain.payments import Payment
from ucred_pipeline.ledger.schema import (
    accounts_left,
    balances,
    credit_lines,
    dirty_groups,
    dirty_payments,
    issuances,
    mint_lines,
    payment_records,
    payments,
)
from ucred_pipeline.ledger.upsert import chunks, named, row_of, upsert

#: What a payment stays.
_FINAL: Final = ("succeeded", "canceled")
#: In the place of a memo, where a customer's own text may be taken for one.
_MANY_READINGS: Final = "unsure: the line may be read in several ways"
_KNOWN_LINES: Final = select(credit_lines.c.key, credit_lines.c.current)
_NEWEST_PAYMENT: Final = select(payments.c.payment_intent).order_by(payments.c.created.desc()).limit(1)
_HELD_BY: Final = select(balances.c.account, balances.c.wei).where(balances.c.began <= bindparam("by"))
_HELD_ANYTHING: Final = (
    select(balances.c.account).where(balances.c.wei != 0, balances.c.began < bindparam("by")).limit(1)
)


def store_payments(connection: Connection, found: Sequence[Payment], read: datetime | None = None) -> int:
    """Mirror payments, never an older read over a newer; return how many were new or different."""
    newer = _read_after(connection, [payment.id for payment in found], read) if read else frozenset()
    rows = [_payment_row(payment) for payment in found if payment.id not in newer]
    changed = _changed(connection, payments, "payment_intent", rows, besides="read")
    upsert(connection, payments, [row | {"read": read} for row in rows])
    mark_payments(connection, (row["payment_intent"] for row in changed))
    return len(changed)


def store_records(connection: Connection, found: Sequence[PaymentRecord]) -> int:
    """Mirror the payments API's records of payments; return how many were new or different."""
    changed = _changed(connection, payment_records, "payment_intent", [row_of(record) for record in found])
    upsert(connection, payment_records, changed)
    mark_payments(connection, (row["payment_intent"] for row in changed))
    return len(changed)


def store_issuances(connection: Connection, found: Sequence[Issuance]) -> int:
    """Mirror issuances; one that now names another payment marks both. Return how many changed."""
    changed = _changed(connection, issuances, "id", [row_of(issuance) for issuance in found])
    before = _existing(connection, issuances, "id", [row["id"] for row in changed])
    upsert(connection, issuances, changed)
    named = (row["payment_intent"] for row in (*changed, *before.values()))
    mark_payments(connection, named)
    return len(changed)


def store_balances(connection: Connection, found: Sequence[BalanceReading]) -> int:
    """Mirror balances, never an older over a newer; return how many were new or of another amount."""
    before = _existing(connection, balances, "account", [reading.account for reading in found])
    fresh = [
        reading
        for reading in found
        if reading.account not in before or before[reading.account]["began"] <= reading.began
    ]
    upsert(connection, balances, [row_of(reading) for reading in fresh])
    changed = [
        reading.account
        for reading in fresh
        if reading.account not in before or before[reading.account]["wei"] != reading.wei
    ]
    mark_groups(connection, changed)
    return len(changed)


@dataclass(frozen=True, slots=True)
class Fallen:
    """An account whose balance is lower than it was: on a ledger without debits, a sign of a reset."""

    account: str
    was: int
    now: int


def fallen_balances(connection: Connection, found: Sequence[BalanceReading]) -> list[Fallen]:
    """Compare readings with the mirror, before they are stored."""
    before = _existing(connection, balances, "account", [reading.account for reading in found])
    return [
        Fallen(reading.account, before[reading.account]["wei"], reading.wei)
        for reading in found
        if reading.account in before
        and reading.wei < before[reading.account]["wei"]
        and reading.began >= before[reading.account]["began"]
    ]


def held_more(connection: Connection, proved: Mapping[str, int], by: datetime) -> list[Fallen]:
    """The accounts of which more was read, at or before `by`, than the wei proved then (0 if not named)."""
    rows = connection.execute(_HELD_BY, {"by": by})
    return [Fallen(account, was, now) for account, was in rows if was > (now := proved.get(account, 0))]


def store_credit_lines(
    connection: Connection, found: Sequence[CreditLine], since: datetime | None = None
) -> int:
    """Mirror the lines of the indexer's present life; lines of earlier lives are evidence no more.

    Nor are those before `since`, which nothing proves to be of the present one. A line that may be read in
    several ways, and of which nothing proves one, is an unexplained credit of each account that it may name.
    """
    rows = [
        _credit_row(reading, current=since is None or line.at >= since)
        for line in found
        for reading in (_unsure(line) if line.alternatives else (line,))
    ]
    known = dict(connection.execute(_KNOWN_LINES).all())
    new = [row for row in rows if known.get(row["key"]) is not row["current"]]
    upsert(connection, credit_lines, new)
    dropped = {key for key, was_current in known.items() if was_current} - {row["key"] for row in rows}
    gone = _retire_lines(connection, sorted(dropped))
    mark_groups(connection, {row["account"] for row in new} | gone)
    _mark_named(connection, {row["namespace"] for row in new if row["namespace"]})
    return len(new) + len(dropped)


def store_mint_lines(connection: Connection, found: Sequence[MintLine]) -> int:
    """Mirror what the payments API's log says; return how many lines were new."""
    rows = [_mint_row(line) for line in found]
    known = set(connection.execute(select(mint_lines.c.key)).scalars())
    new = [row for row in rows if row["key"] not in known]
    upsert(connection, mint_lines, new)
    mark_groups(connection, {row["account"] for row in new if row["account"]})
    _mark_named(connection, {row["namespace"] for row in new if row["namespace"]})
    return len(new)


def mark_payments(connection: Connection, payment_intents: Iterable[str]) -> None:
    """Mark payments to be looked at again."""
    upsert(connection, dirty_payments, [{"payment_intent": name} for name in sorted(set(payment_intents))])


def mark_groups(connection: Connection, groups: Iterable[str]) -> None:
    """Mark accounts to be judged again."""
    upsert(connection, dirty_groups, [{"judged_with": name} for name in sorted(set(groups))])


def mark_accounts_left(connection: Connection, payment_intents: Sequence[str]) -> None:
    """Mark what purchases have left, to be judged again: what is known of these tells of others there."""
    left = connection.execute(named(accounts_left.c.payment_intent), {"names": list(payment_intents)})
    mark_groups(connection, [row.account for row in left])


def _payment_row(payment: Payment) -> dict[str, Any]:
    row = row_of(payment)
    row["payment_intent"] = row.pop("id")
    row["metadata"] = dict(payment.metadata)
    return row


def _unsure(line: CreditLine) -> Iterator[CreditLine]:
    """What a line of several readings tells for sure: nothing of any of their accounts."""
    for account in sorted({line.account, *(other.account for other in line.alternatives)}):
        raw = f"{line.raw} {account}"
        yield replace(line, account=account, memo=_MANY_READINGS, raw=raw, alternatives=())


def _credit_row(line: CreditLine, *, current: bool) -> dict[str, Any]:
    memo = read_memo(line.memo)
    return {
        "key": _key(line.raw),
        "at": line.at,
        "account": line.account,
        "amount": line.amount_wei,
        "memo": line.memo,
        "namespace": memo.namespace if memo else None,
        "correction": memo.correction if memo else None,
        "attempt": memo.attempt if memo else None,
        "new_balance": line.new_balance_wei,
        "state_root": line.state_root,
        "current": current,
    }


def _mint_row(line: MintLine) -> dict[str, Any]:
    return {
        "key": _key(line.raw),
        "at": line.at,
        "outcome": line.outcome.value,
        "account": line.account,
        "namespace": line.namespace,
    }


def _key(raw: str) -> str:
    return sha256(raw.encode(errors="surrogateescape")).hexdigest()


def _changed(
    connection: Connection, table: Table, key: str, rows: list[dict[str, Any]], besides: str = ""
) -> list[dict[str, Any]]:
    """The rows that are new, or differ in more than the column `besides`."""
    before = _existing(connection, table, key, [row[key] for row in rows])
    for row in before.values():
        row.pop(besides, None)
    return [row for row in rows if before.get(row[key]) != row]


def _existing(connection: Connection, table: Table, key: str, wanted: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for chunk in chunks(wanted):
        for row in connection.execute(named(table.c[key]), {"names": chunk}).mappings():
            found[row[key]] = dict(row)
    return found


def _retire_lines(connection: Connection, keys: list[str]) -> set[str]:
    accounts: set[str] = set()
    for chunk in chunks(keys):
        chosen = credit_lines.c.key.in_(chunk)
        accounts.update(connection.execute(select(credit_lines.c.account).where(chosen)).scalars())
        connection.execute(update(credit_lines).where(chosen).values(current=False))
    return accounts


def _mark_named(connection: Connection, namespaces: set[str]) -> None:
    for chunk in chunks(sorted(namespaces)):
        found = connection.execute(named(issuances.c.namespace), {"names": chunk})
        mark_payments(connection, (row.payment_intent for row in found))


def open_payments(
    connection: Connection, statuses: Sequence[str] | None, read_before: datetime
) -> frozenset[str]:
    """The payments that may still succeed, in the given states or in any that is not final, by old reads."""
    c = payments.c
    is_open = c.status.not_in(_FINAL) if statuses is None else c.status.in_(statuses)
    is_old = c.read.is_(None) | (c.read <= read_before)
    return frozenset(connection.execute(select(c.payment_intent).where(is_open, is_old)).scalars())


def not_read_since(connection: Connection, moments: Mapping[str, datetime]) -> frozenset[str]:
    """Those of the payments whose newest read began no later than the moment named."""
    c = payments.c
    read: dict[str, datetime | None] = {}
    for chunk in chunks(sorted(moments)):
        chosen = select(c.payment_intent, c.read).where(c.payment_intent.in_(chunk))
        read.update({row.payment_intent: row.read for row in connection.execute(chosen)})
    return frozenset(
        name for name, moment in moments.items() if (last := read.get(name)) is None or last <= moment
    )


def _read_after(connection: Connection, names: Iterable[str], moment: datetime) -> frozenset[str]:
    """Those of the payments that another run, which began after a moment, has mirrored already."""
    c = payments.c
    later = (
        connection.execute(
            select(c.payment_intent).where(c.payment_intent.in_(chunk), c.read > moment)
        ).scalars()
        for chunk in chunks(names)
    )
    return frozenset(name for found in later for name in found)


def newest_payment(connection: Connection) -> str | None:
    """The payment that was created last of those that were ever read."""
    newest: str | None = connection.execute(_NEWEST_PAYMENT).scalar()
    return newest


def payments_before(connection: Connection, names: Iterable[str], moment: datetime) -> frozenset[str]:
    """Those of the payments that were created before a moment."""
    c = payments.c
    older = (
        connection.execute(
            select(c.payment_intent).where(c.payment_intent.in_(chunk), c.created < moment)
        ).scalars()
        for chunk in chunks(sorted(names))
    )
    return frozenset(name for found in older for name in found)


def held_anything(connection: Connection, by: datetime) -> bool:
    """Whether any account was seen to hold UCRED before a moment."""
    return connection.execute(_HELD_ANYTHING, {"by": by}).first() is not None
