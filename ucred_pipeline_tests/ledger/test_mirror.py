"""The mirrors say what the sources said last, and mark whatever changed, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from sqlalchemy import Connection, delete, insert, select

from ucred_pipeline.domain.evidence import BalanceReading, CreditLine, MintLine, MintOutcome
from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.ledger import mirror
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.mirror import Fallen
from ucred_pipeline.ledger.schema import (
    balances,
    credit_lines,
    dirty_groups,
    dirty_payments,
    issuances,
    payments,
)
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.ledger.stories import A_SECOND, ROOT

PAYMENT: Final = Payment(
    "pi_1", NOON, "succeeded", "usd", 3500, 0, Dispute.NONE, NOON, "a@x.com", {"rarity_tier": "common"}
)
RECORD: Final = PaymentRecord("pi_1", "a@x.com", "1.x", None, "delivered", NOON)
ISSUANCE: Final = Issuance("i1", "pi_1", "1.x", "a@x.com", None, "issued", NOON, None)
READING: Final = BalanceReading("acct:user:a@x.com", 5, NOON, ROOT)
CORRECTION_MEMO: Final = "correction:1.x:0123456789abcdef.2"
LINE: Final = CreditLine(NOON, "UCRED", "acct:user:a@x.com", 5, CORRECTION_MEMO, 5, ROOT, "a line")
MINTED: Final = MintLine(NOON, MintOutcome.MINTED, "acct:user:a@x.com", "1.x", "a mint")


def marked_payments(connection: Connection) -> set[str]:
    """Take the payments that are marked, and clear the marks."""
    found = set(connection.execute(select(dirty_payments.c.payment_intent)).scalars())
    connection.execute(delete(dirty_payments))
    return found


def marked_accounts(connection: Connection) -> set[str]:
    """Take the accounts that are marked, and clear the marks."""
    found = set(connection.execute(select(dirty_groups.c.judged_with)).scalars())
    connection.execute(delete(dirty_groups))
    return found


def test_an_older_read_of_a_payment_does_not_replace_a_newer(ledger: Ledger) -> None:
    """A slow run that read before a refund does not bring the money back."""
    with ledger.write() as connection:
        mirror.store_payments(connection, [replace(PAYMENT, refunded=3500)], NOON + A_SECOND)
        marked_payments(connection)

        assert mirror.store_payments(connection, [PAYMENT], NOON) == 0
        assert connection.execute(select(payments.c.refunded)).scalars().all() == [3500]
        assert marked_payments(connection) == set()


@pytest.mark.parametrize(
    "changed",
    [
        replace(PAYMENT, refunded=3500),
        replace(PAYMENT, dispute=Dispute.OPEN),
        replace(PAYMENT, status="canceled"),
        replace(PAYMENT, metadata={"rarity_tier": "common", "ff_code": "x"}),
        replace(PAYMENT, received=2**40),
    ],
)
def test_a_payment_that_changed_is_marked(ledger: Ledger, changed: Payment) -> None:
    """New and changed payments are counted and marked; one that is as it was is neither."""
    with ledger.write() as connection:
        assert mirror.store_payments(connection, [PAYMENT]) == 1
        assert marked_payments(connection) == {"pi_1"}
        assert mirror.store_payments(connection, [PAYMENT]) == 0
        assert marked_payments(connection) == set()
        assert mirror.store_payments(connection, [changed]) == 1
        assert marked_payments(connection) == {"pi_1"}
        row = connection.execute(select(payments)).mappings().one()
    assert (row["status"], row["refunded"]) == (changed.status, changed.refunded)


def test_a_record_that_changed_is_marked(ledger: Ledger) -> None:
    """So is what the payments API says of a payment."""
    with ledger.write() as connection:
        assert mirror.store_records(connection, [RECORD]) == 1
        assert mirror.store_records(connection, [RECORD]) == 0
        assert marked_payments(connection) == {"pi_1"}
        assert mirror.store_records(connection, [replace(RECORD, status="refunded")]) == 1
        assert marked_payments(connection) == {"pi_1"}


def test_an_issuance_that_names_another_payment_marks_both(ledger: Ledger) -> None:
    """A certificate that moved is missing from one purchase and new in another."""
    with ledger.write() as connection:
        mirror.store_issuances(connection, [ISSUANCE])
        marked_payments(connection)

        assert mirror.store_issuances(connection, [replace(ISSUANCE, payment_intent="pi_2")]) == 1
        assert marked_payments(connection) == {"pi_1", "pi_2"}
        assert connection.execute(select(issuances.c.payment_intent)).scalars().all() == ["pi_2"]


def test_many_rows_are_mirrored(ledger: Ledger) -> None:
    """More rows than a statement can name are compared and written all the same."""
    many = [replace(PAYMENT, id=f"pi_{number}") for number in range(1300)]
    with ledger.write() as connection:
        assert mirror.store_payments(connection, many) == 1300
        assert mirror.store_payments(connection, [*many, replace(many[7], status="canceled")]) == 1


@pytest.mark.parametrize(
    "later, wei, changed",
    [
        (replace(READING, wei=7, began=NOON + A_SECOND), 7, 1),
        (replace(READING, wei=3, began=NOON + A_SECOND), 3, 1),
        (replace(READING, began=NOON + A_SECOND), 5, 0),
        (replace(READING, wei=7), 7, 1),
        (replace(READING, wei=7, began=NOON - A_SECOND), 5, 0),
        (replace(READING, wei=2**128 - 1, began=NOON + A_SECOND), 2**128 - 1, 1),
    ],
)
def test_a_balance_is_the_newest(ledger: Ledger, later: BalanceReading, wei: int, changed: int) -> None:
    """An older reading never replaces a newer one, whichever came first; only another amount is a change."""
    with ledger.write() as connection:
        assert mirror.store_balances(connection, [READING]) == 1
        assert marked_accounts(connection) == {READING.account}

        assert changed == mirror.store_balances(connection, [later])
        assert marked_accounts(connection) == ({READING.account} if changed else set())
        row = connection.execute(select(balances)).one()
    assert (wei, max(NOON, later.began)) == (row.wei, row.began)


@pytest.mark.parametrize(
    "reading, fallen",
    [
        (replace(READING, wei=4, began=NOON + A_SECOND), [Fallen(READING.account, 5, 4)]),
        (replace(READING, wei=0, began=NOON + A_SECOND), [Fallen(READING.account, 5, 0)]),
        (replace(READING, wei=5, began=NOON + A_SECOND), []),
        (replace(READING, wei=6, began=NOON + A_SECOND), []),
        (replace(READING, account="acct:user:new@x.com", wei=0), []),
        (replace(READING, wei=0, began=NOON - A_SECOND), []),
    ],
)
def test_a_balance_that_fell_is_seen(
    ledger: Ledger, reading: BalanceReading, fallen: Sequence[Fallen]
) -> None:
    """A lower balance is a sign of a reset, unless the reading began before what is known."""
    with ledger.write() as connection:
        mirror.store_balances(connection, [READING])

        assert fallen == mirror.fallen_balances(connection, [reading])


@pytest.mark.parametrize(
    "proved, by, more",
    [
        ({READING.account: 4}, NOON, [Fallen(READING.account, 5, 4)]),
        ({}, NOON, [Fallen(READING.account, 5, 0)]),
        ({READING.account: 5, "acct:user:new@x.com": 1}, NOON, []),
        ({READING.account: 6}, NOON, []),
        ({}, NOON - A_SECOND, []),
    ],
)
def test_a_balance_that_was_higher_than_what_is_proved_is_seen(
    ledger: Ledger, proved: Mapping[str, int], by: datetime, more: Sequence[Fallen]
) -> None:
    """What an account held before is at most what it held at a later moment, unless it was read after it."""
    with ledger.write() as connection:
        mirror.store_balances(connection, [READING])

        assert more == mirror.held_more(connection, proved, by)


def test_a_line_says_which_attempt_it_is_of(ledger: Ledger) -> None:
    """A line's memo is taken apart, and its account and its purchase are marked."""
    with ledger.write() as connection:
        mirror.store_issuances(connection, [ISSUANCE])
        marked_payments(connection)

        assert mirror.store_credit_lines(connection, [LINE]) == 1
        row = connection.execute(select(credit_lines)).one()
        assert (row.namespace, row.correction, row.attempt) == ("1.x", "0123456789abcdef", 2)
        assert (marked_accounts(connection), marked_payments(connection)) == ({LINE.account}, {"pi_1"})
        assert mirror.store_credit_lines(connection, [LINE]) == 0
        assert marked_accounts(connection) == set()


def test_a_line_of_several_readings_tells_nothing_for_sure(ledger: Ledger) -> None:
    """It is an unexplained credit of each account that it may name, until one reading is proved."""
    forged = replace(LINE, account="acct:user:b@x.com", memo="topup:x")
    with ledger.write() as connection:
        assert mirror.store_credit_lines(connection, [replace(LINE, alternatives=(forged,))]) == 2
        told = select(credit_lines.c.account, credit_lines.c.namespace, credit_lines.c.correction)
        assert sorted(connection.execute(told.where(credit_lines.c.current)).all()) == [
            (LINE.account, None, None),
            (forged.account, None, None),
        ]
        memos = set(connection.execute(select(credit_lines.c.memo)).scalars())
        assert not any(memo.startswith(("topup:", "correction:")) for memo in memos)
        assert marked_accounts(connection) == {LINE.account, forged.account}

        mirror.store_credit_lines(connection, [LINE])
        assert connection.execute(told.where(credit_lines.c.current)).all() == [
            (LINE.account, "1.x", "0123456789abcdef")
        ]
        assert marked_accounts(connection) == {LINE.account, forged.account}


def test_lines_of_an_earlier_life_are_no_evidence(ledger: Ledger) -> None:
    """A line that the present life does not have is retired, and back when it has it again."""
    other = replace(LINE, account="acct:user:b@x.com", memo="topup:ff", raw="another line")
    with ledger.write() as connection:
        mirror.store_credit_lines(connection, [LINE, other])
        marked_accounts(connection)

        assert mirror.store_credit_lines(connection, [LINE]) == 1
        assert marked_accounts(connection) == {other.account}
        assert current_lines(connection) == {LINE.account}
        assert mirror.store_credit_lines(connection, [LINE]) == 0
        assert mirror.store_credit_lines(connection, [LINE, other]) == 1
        assert marked_accounts(connection) == {other.account}
        assert current_lines(connection) == {LINE.account, other.account}


def current_lines(connection: Connection) -> set[str]:
    """The accounts of the lines that are evidence."""
    return set(connection.execute(select(credit_lines.c.account).where(credit_lines.c.current)).scalars())


def test_mint_lines_are_counted_once(ledger: Ledger) -> None:
    """A new line of the payments API's log marks its account, where it names one."""
    nameless = MintLine(NOON, MintOutcome.REFUSED, None, None, "an older build")
    with ledger.write() as connection:
        assert mirror.store_mint_lines(connection, [MINTED, nameless]) == 2
        assert marked_accounts(connection) == {MINTED.account}
        assert mirror.store_mint_lines(connection, [MINTED, nameless]) == 0
        assert marked_accounts(connection) == set()


def test_what_may_still_succeed_is_known(ledger: Ledger) -> None:
    """Payments that are not final are those to be asked for again."""
    with ledger.write() as connection:
        found = {"pi_1": "succeeded", "pi_2": "processing", "pi_3": "canceled", "pi_4": "requires_action"}
        mirror.store_payments(
            connection, [replace(PAYMENT, id=name, status=told) for name, told in found.items()]
        )

        assert mirror.open_payments(connection, None, NOON) == {"pi_2", "pi_4"}
        assert mirror.open_payments(connection, ["processing"], NOON) == {"pi_2"}


def test_what_was_read_lately_is_not_asked_for_again(ledger: Ledger) -> None:
    """A payment is read again when it was never read, or not after its newest event."""
    with ledger.write() as connection:
        mirror.store_payments(connection, [replace(PAYMENT, status="processing")], NOON)
        again = mirror.store_payments(connection, [replace(PAYMENT, status="processing")], NOON + A_SECOND)

        assert again == 0
        assert mirror.open_payments(connection, None, NOON) == set()
        assert mirror.open_payments(connection, None, NOON + A_SECOND) == {"pi_1"}
        assert mirror.not_read_since(connection, {"pi_1": NOON, "pi_9": NOON}) == {"pi_9"}
        assert mirror.not_read_since(connection, {"pi_1": NOON + A_SECOND}) == {"pi_1"}


def test_whether_anything_was_held(ledger: Ledger) -> None:
    """An account with nothing is not evidence that the indexer has forgotten, nor one that was read later."""
    with ledger.write() as connection:
        connection.execute(insert(balances).values(account="a", wei=0, began=NOON))
        assert not mirror.held_anything(connection, NOON + A_SECOND)
        connection.execute(insert(balances).values(account="b", wei=1, began=NOON + timedelta(hours=1)))
        assert not mirror.held_anything(connection, NOON + timedelta(hours=1))
        assert mirror.held_anything(connection, NOON + timedelta(hours=1) + A_SECOND)
