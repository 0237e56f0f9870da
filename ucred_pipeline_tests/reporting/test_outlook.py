"""Why a credit is not sent: a reason for programs and a sentence for people, whatever kept it back."""

import pytest

from ucred_pipeline.corrections.preflight import Gate
from ucred_pipeline.domain.corrections import CorrectionState
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.purchases import find_purchases
from ucred_pipeline.ledger.safety import HoldKind, open_breaker, raise_hold
from ucred_pipeline.ledger.schema import purchases
from ucred_pipeline.reporting.outlook import Refusal, outlook, read_situation
from ucred_pipeline.reporting.purchase_file import read_file
from ucred_pipeline.settings import Rules
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import book_of, item, planned, sending, signed

#: Why the ledger lets a claim not go on, beside the gates of the indexer.
OF_THE_LEDGER = (
    "evidence_changed",
    "within_grace",
    "purchase_changed",
    "memo_unreadable",
    "anchor_missing",
    "over_corrections_per_run",
    "over_ucred_per_run",
    "over_ucred_per_day",
    "sender_stopped",
)
#: A refused token is told by the breaker.
OF_THE_INDEXER = [gate for gate in Gate if gate is not Gate.TOKEN_REFUSED]


def refusals(ledger: Ledger) -> list[Refusal]:
    """Say what keeps the first purchase's credit back."""
    with ledger.read() as connection:
        purchase = find_purchases(connection, purchases.c.payment_intent == item(1).payment_intent)[0]
        file = read_file(connection, purchase)
        return list(outlook(file, read_situation(connection, NOON, Rules())).why_not)


@pytest.mark.parametrize(
    "reason", [*OF_THE_LEDGER, *(gate for gate in Gate if gate is not Gate.TOKEN_REFUSED)]
)
def test_whatever_gave_it_back_is_told(sqlite_ledger: Ledger, clock: FakeClock, reason: str) -> None:
    """A correction that was taken up and given back says why, in a word and in a sentence."""
    book = book_of(sqlite_ledger, clock)
    claimed = book.claim(planned(sqlite_ledger, book, item(1))[0].id)
    book.let_go(claimed, CorrectionState.PLANNED, reason)

    [refusal] = refusals(sqlite_ledger)

    assert refusal.reason == reason
    assert refusal.says.endswith(".")


@pytest.mark.parametrize("kind", HoldKind)
def test_every_hold_is_told(sqlite_ledger: Ledger, clock: FakeClock, kind: HoldKind) -> None:
    """A hold keeps a credit back, and says since when and why."""
    planned(sqlite_ledger, book_of(sqlite_ledger, clock), item(1))
    with sqlite_ledger.write() as connection:
        raise_hold(connection, kind, signed(NOON, "to look into it"))

    [refusal] = refusals(sqlite_ledger)

    assert refusal.reason == f"held_{kind}"
    assert "to look into it" in str(refusal)


def test_a_refused_token_is_told(sqlite_ledger: Ledger, clock: FakeClock) -> None:
    """While the indexer refuses the token, that is why."""
    planned(sqlite_ledger, book_of(sqlite_ledger, clock), item(1))
    with sqlite_ledger.write() as connection:
        open_breaker(connection, 3, signed(NOON), token_refused=True)

    assert [refusal.reason for refusal in refusals(sqlite_ledger)] == ["token_refused"]


def test_another_credit_of_the_account_is_told(sqlite_ledger: Ledger, clock: FakeClock) -> None:
    """One goes at a time within an account, and the other one is named."""
    book = book_of(sqlite_ledger, clock)
    planned(sqlite_ledger, book, item(1))
    sending(sqlite_ledger, book, clock, item(2, account=item(1).account))

    [refusal] = refusals(sqlite_ledger)

    assert (refusal.reason, item(2).namespace in refusal.says) == ("account_busy", True)
