"""What may happen between two runs: in every system at once, and in the truth."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.sandbox import Sandbox, Verdict
from ucred_pipeline.sandbox.cases import LIVE
from ucred_pipeline_tests.sandbox.conftest import MovableClock
from ucred_pipeline_tests.sandbox.test_indexer import credit
from ucred_pipeline_tests.sandbox.test_stripe_lists import walk

HOUR = timedelta(hours=1)


def events_of(client: httpx.Client, payment_intent: str) -> list[str]:
    """The types of a payment's events, newest first."""

    def subjects(event: dict[str, Any]) -> set[str]:
        subject = event["data"]["object"]
        return {subject["id"], subject.get("payment_intent")}

    return [event["type"] for event in walk(client, "/v1/events") if payment_intent in subjects(event)]


def issuances(sandbox: Sandbox, payment_intent: str) -> list[tuple[str, str]]:
    """State of each certificate and status of the payment."""
    with closing(sqlite3.connect(sandbox.folder / "payments.db")) as connection:
        return connection.execute(
            "SELECT i.state, p.status FROM issuances i JOIN payment_intents p ON p.id = i.payment_intent_id"
            " WHERE p.stripe_payment_intent_id = ?",
            [payment_intent],
        ).fetchall()


def test_a_purchase(sandbox: Sandbox, stripe_api: httpx.Client, clock: MovableClock) -> None:
    """A new purchase is in Stripe, its events, the database, and the truth; unpaid for long it lacks."""
    bought = sandbox.purchase("lacking_indexer_down", email="new@example.com")

    assert events_of(stripe_api, bought) == [
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
    ]
    assert issuances(sandbox, bought) == [("issued", '"delivered"')]
    assert sandbox.truth.purchases[bought].verdict_with_logs is Verdict.PENDING
    assert sandbox.truth.purchases[bought].account == "acct:user:new@example.com"
    clock.move(HOUR)
    assert sandbox.truth.purchases[bought].verdict_with_logs is Verdict.LACKING


def test_a_purchase_of_a_while_ago(sandbox: Sandbox) -> None:
    """A purchase may have begun earlier, and then lacks at once."""
    bought = sandbox.purchase("lacking_wrong_token", age=HOUR)

    assert sandbox.truth.purchases[bought].should_be_credited


def test_a_credited_purchase(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """The API's own credit is in the balance and in the log's order."""
    bought = sandbox.purchase("credited")
    truth = sandbox.truth.purchases[bought]

    held = indexer.get("/balances", params={"account": truth.account}).json()

    assert held == [{"asset": "UCRED", "balance_wei": str(WEI_PER_UCRED)}]
    assert (sandbox.credits[-1].memo, sandbox.credits[-1].source) == (
        f"purchase:{truth.namespace}",
        "history",
    )
    assert truth.verdict_without_logs is Verdict.CREDITED


@pytest.mark.parametrize("case", sorted(LIVE))
def test_any_case_may_happen_live(sandbox: Sandbox, case: str) -> None:
    """Each case ends live, some days later, with the verdict that it has in the history."""
    bought = sandbox.purchase(case, age=72 * HOUR)

    alike = sandbox.truth.of_case(case)
    assert bought in {purchase.payment_intent for purchase in alike}
    # These two depend on how long ago they began.
    if case not in {"pending", "succeeded_nine_days_later"}:
        assert len({purchase.verdict_with_logs for purchase in alike}) == 1


@pytest.mark.parametrize("case", ["nonsense", "unissued_placeholder"])
def test_a_case_that_cannot_happen_live(sandbox: Sandbox, case: str) -> None:
    """An unknown case, and one that can be only once, is answered with those that may be."""
    with pytest.raises(ValueError, match="credited_by_support"):
        sandbox.purchase(case)


def test_an_issuance_that_appears(sandbox: Sandbox, clock: MovableClock) -> None:
    """What was unissued is issued, without a credit, and is owed after the grace period."""
    (waiting,) = sandbox.truth.of_case("unissued_placeholder")

    sandbox.issue(waiting.payment_intent)

    assert issuances(sandbox, waiting.payment_intent) == [("issued", '"delivered"')]
    assert sandbox.truth.purchases[waiting.payment_intent].verdict_with_logs is Verdict.PENDING
    clock.move(HOUR)
    assert sandbox.truth.purchases[waiting.payment_intent].should_be_credited


def test_an_issuance_that_is_credited(sandbox: Sandbox) -> None:
    """The webhook issues and credits."""
    (waiting,) = sandbox.truth.of_case("unissued_without_row")

    sandbox.issue(waiting.payment_intent, credited=True)

    assert sandbox.truth.purchases[waiting.payment_intent].verdict_with_logs is Verdict.CREDITED


def test_a_late_success(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """A payment that was processing for days succeeds, and is then issued."""
    (waiting,) = sandbox.truth.of_case("processing")
    assert waiting.verdict_with_logs is None

    sandbox.succeed(waiting.payment_intent)
    sandbox.issue(waiting.payment_intent)

    assert events_of(stripe_api, waiting.payment_intent)[0] == "payment_intent.succeeded"
    assert sandbox.truth.purchases[waiting.payment_intent].verdict_with_logs is Verdict.PENDING


def test_an_early_refund(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """Within a day the certificate is voided as well."""
    bought = sandbox.purchase("lacking_timed_out", age=HOUR)

    sandbox.refund(bought)

    assert events_of(stripe_api, bought)[:2] == ["charge.refunded", "refund.created"]
    assert issuances(sandbox, bought) == [("voided", '"refunded"')]
    assert sandbox.truth.purchases[bought].verdict_with_logs is Verdict.WITHDRAWN


def test_a_late_refund(sandbox: Sandbox) -> None:
    """After a day the database does not hear of it."""
    bought = sandbox.purchase("lacking_timed_out", age=48 * HOUR)

    sandbox.refund(bought)

    assert issuances(sandbox, bought) == [("issued", '"delivered"')]
    assert sandbox.truth.purchases[bought].verdict_with_logs is Verdict.WITHDRAWN


@pytest.mark.parametrize("amount, status", [(100, "succeeded"), (None, "failed")])
def test_refunds_that_leave_it_owed(sandbox: Sandbox, amount: int | None, status: str) -> None:
    """A part, or one that failed, changes nothing."""
    bought = sandbox.purchase("lacking_timed_out", age=HOUR)

    sandbox.refund(bought, amount=amount, status=status)

    assert sandbox.truth.purchases[bought].should_be_credited


def test_a_dispute_that_is_won(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """While it is open the purchase is withdrawn, and owed again once it is won."""
    bought = sandbox.purchase("lacking_unconfigured", age=HOUR)

    sandbox.dispute(bought)
    assert sandbox.truth.purchases[bought].verdict_with_logs is Verdict.WITHDRAWN
    sandbox.dispute(bought, "won")

    assert sandbox.truth.purchases[bought].should_be_credited
    assert events_of(stripe_api, bought)[:2] == ["charge.dispute.closed", "charge.dispute.created"]
    disputes = stripe_api.get("/v1/disputes", params={"payment_intent": bought}).json()["data"]
    assert [dispute["status"] for dispute in disputes] == ["won"]


def test_credits_by_others(sandbox: Sandbox) -> None:
    """Support credits by hand; once more is once too often."""
    bought = sandbox.purchase("lacking_unconfigured", age=HOUR)

    sandbox.credit(bought)
    assert sandbox.truth.purchases[bought].verdict_with_logs is Verdict.CREDITED
    sandbox.credit(bought)

    assert sandbox.truth.purchases[bought].verdict_with_logs is Verdict.OVER_CREDITED


def test_top_ups_and_debits(sandbox: Sandbox) -> None:
    """A top-up hides what lacks from the balance, and a debit shows what does not."""
    bought = sandbox.purchase("lacking_unconfigured", age=HOUR)
    account = sandbox.truth.purchases[bought].account

    sandbox.top_up(account, WEI_PER_UCRED)
    assert sandbox.truth.accounts[account].lacking_wei == 0
    sandbox.debit(account, 1)

    assert sandbox.truth.accounts[account].lacking_wei == WEI_PER_UCRED
    assert sandbox.truth.purchases[bought].should_be_credited


def test_credits_over_http_are_not_the_truths(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """What the pipeline does is kept apart from what is true without it."""
    before = sandbox.truth

    credit(indexer, account=next(iter(before.to_credit.values())).account)

    assert sandbox.truth == before
    assert [row.memo for row in sandbox.http_credits] == ["test"]


def test_a_rotated_token(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """The old token no longer opens anything."""
    sandbox.set_token("another")

    assert credit(indexer).status_code == 401
    assert credit(indexer, operator_token="another").status_code == 200


def test_a_restart_is_in_the_truth(sandbox: Sandbox) -> None:
    """What the indexer forgot is no longer credited."""
    (known,) = sandbox.truth.of_case("credited_by_support")

    sandbox.restart_indexer()

    assert sandbox.truth.purchases[known.payment_intent].verdict_with_logs is Verdict.LACKING


def test_the_file_follows(sandbox: Sandbox) -> None:
    """The written truth has what happened since."""
    bought = sandbox.purchase()

    document = json.loads((sandbox.folder / "truth.json").read_text(encoding="utf-8"))

    assert bought in {row["payment_intent"] for row in document["purchases"]}


def test_a_closed_sandbox(sandbox: Sandbox) -> None:
    """Closing twice is harmless, and then nothing can happen."""
    sandbox.close()
    sandbox.close()

    with pytest.raises(RuntimeError, match="not running"):
        sandbox.purchase()
