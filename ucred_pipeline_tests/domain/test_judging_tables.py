"""The judge's tables: what is refused, and what makes no difference."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.domain.judging import judge
from ucred_pipeline.domain.judging_frames import AccountColumn, Evidence, InvalidEvidence, PurchaseColumn
from ucred_pipeline.domain.money import InvalidAmount
from ucred_pipeline.domain.verdicts import Basis, Finding, Reason, Verdict, is_break
from ucred_pipeline_tests.domain.judging_cases import (
    ALONE,
    ANN,
    BALANCES,
    DEBITS,
    GRACE,
    LOG,
    NOW,
    OLD,
    UCRED,
    account,
    account_table,
    judged,
    purchase,
    purchase_table,
    verdicts,
)


@pytest.mark.parametrize("evidence", [BALANCES, ALONE, DEBITS, LOG])
def test_nothing_to_judge(evidence: Evidence) -> None:
    """Empty tables give an empty answer with the same columns."""
    found = judge(purchase_table([]), account_table([]), evidence)

    assert len(found) == 0
    assert list(found.columns) == ["verdict", "basis", "reason"]


def test_the_answer_has_the_rows_of_the_question() -> None:
    """The index of the purchases is kept, whatever it is."""
    table = purchase_table([purchase("pi_1"), purchase("pi_2", lines=1)])
    table.index = pd.Index([70, 3])
    found = judge(table, account_table([account(0)]), LOG)

    assert found["verdict"].to_dict() == {70: "lacking", 3: "credited"}


def test_accounts_without_purchases_do_not_matter() -> None:
    """A balance of a stranger is no evidence."""
    accounts = [account(5 * UCRED, account="acct:user:stranger@x.com"), account(0)]

    assert verdicts([purchase()], BALANCES, accounts) == ["lacking"]


@pytest.mark.parametrize("column", list(PurchaseColumn))
def test_a_missing_column_of_purchases_is_named(column: str) -> None:
    """A table that lacks a column decides nothing."""
    table = purchase_table([purchase()]).drop(columns=[column])
    with pytest.raises(InvalidEvidence, match=column):
        judge(table, account_table([]), LOG)


@pytest.mark.parametrize("column", list(AccountColumn))
def test_a_missing_column_of_accounts_is_named(column: str) -> None:
    """So does one of accounts."""
    table = account_table([account()]).drop(columns=[column])
    with pytest.raises(InvalidEvidence, match=column):
        judge(purchase_table([purchase()]), table, LOG)


@pytest.mark.parametrize(
    "wrong",
    [
        {"payment_intent": None},
        {"foreign": None},
        {"succeeded": "no"},
        {"refunded": float("nan")},
        {"disputed": 2},
        {"issued_rows": -1},
        {"lines": 1.5},
        {"receipts": None},
        {"created_us": None},
        {"created_us": 1.5},
        {"due_since_us": 1.5},
        {"entitlement": None},
        {"entitlement": -1},
        {"entitlement": 2**128},
        {"previous_verdict": "fine"},
        {"decision": "yes"},
    ],
)
def test_a_wrong_value_is_refused_by_name(wrong: dict[str, Any]) -> None:
    """In doubt about the question there is no answer."""
    with pytest.raises(InvalidEvidence, match=next(iter(wrong))):
        judged([purchase("pi_1", **wrong), purchase("pi_2")], LOG)


@pytest.mark.parametrize(
    "wrong", [{"account": None}, {"balance": -1}, {"known_other_wei": None}, {"as_of_us": 0.5}]
)
def test_a_wrong_value_of_an_account_is_refused_by_name(wrong: dict[str, Any]) -> None:
    """The same holds of accounts."""
    with pytest.raises(InvalidEvidence, match=next(iter(wrong))):
        judged([purchase()], BALANCES, [account(**wrong), account(account="acct:user:b@x.com")])


@pytest.mark.parametrize("value", ["1.0", "1e18", 1.0, ""])
def test_an_amount_that_is_not_exact_is_refused(value: object) -> None:
    """Amounts are integers or decimal strings of wei."""
    with pytest.raises(InvalidAmount):
        judged([purchase(entitlement=value)], LOG)
    with pytest.raises(InvalidAmount):
        judged([purchase()], BALANCES, [account(value)])


def test_float_times_are_refused() -> None:
    """A column that pandas turned into floats is not exact."""
    table = purchase_table([purchase()]).astype({"due_since_us": "float64"})
    with pytest.raises(InvalidEvidence, match="due_since_us"):
        judge(table, account_table([]), LOG)


def test_the_same_purchase_twice_is_refused() -> None:
    """One payment is one purchase: nothing is matched twice."""
    with pytest.raises(InvalidEvidence, match="payment_intent"):
        judged([purchase(), purchase()], LOG)


def test_the_same_account_twice_is_refused() -> None:
    """Two balances of one account contradict each other."""
    with pytest.raises(InvalidEvidence, match="account"):
        judged([purchase()], BALANCES, [account(0), account(UCRED)])


def test_a_grace_period_of_nothing_is_refused() -> None:
    """No setting may take the grace period away."""
    with pytest.raises(InvalidEvidence):
        Evidence(now_us=NOW, grace_us=0)


@pytest.mark.parametrize("missing", [None, -1, pd.NA])
def test_a_purchase_without_a_due_time_is_due_from_its_creation(missing: object) -> None:
    """None, NA and -1 say the same."""
    early = purchase("pi_1", created_us=NOW - GRACE, due_since_us=missing)
    late = purchase("pi_2", created_us=NOW - GRACE + 1, due_since_us=missing)

    assert verdicts([early, late], LOG) == ["lacking", "pending"]


def test_tables_of_any_storage_are_judged_alike() -> None:
    """Flags as 0 and 1, texts as categories or strings, counts and times in native integers."""
    rows = [purchase("pi_1"), purchase("pi_2", lines=1, previous_verdict="pending", decision="credited")]
    plain = purchase_table(rows)
    native = plain.convert_dtypes().astype({"foreign": "int64", "account": "category", "namespace": "object"})
    native["created_us"] = native["created_us"].astype("int64")
    native["previous_verdict"] = native["previous_verdict"].astype("category")
    accounts = account_table([account(str(UCRED))])

    expected = judge(plain, accounts, BALANCES)
    pd.testing.assert_frame_equal(judge(native, accounts.astype({"account": "str"}), BALANCES), expected)


states = st.fixed_dictionaries(
    {},
    optional={
        "account": st.sampled_from([ANN, "acct:user:b@x.com", None]),
        "created_us": st.integers(OLD, OLD + 2) | st.just(NOW),
        "refunded": st.booleans(),
        "lines": st.integers(0, 2),
        "receipts": st.integers(0, 1),
        "doubt": st.booleans(),
        "entitlement": st.sampled_from([UCRED, str(2 * UCRED), 3]),
        "issued_rows": st.integers(0, 2),
    },
)


@given(st.lists(states, max_size=8), st.integers(0, 6), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_makes_no_difference(
    rows: list[dict[str, Any]], held: int, random: Any
) -> None:
    """The same tables shuffled give the same verdicts."""
    named = [purchase(f"pi_{place}", **row) for place, row in enumerate(rows)]
    accounts = [account(held * UCRED), account(UCRED, account="acct:user:b@x.com")]
    shuffled = random.sample(named, len(named))

    expected = dict(
        zip((row["payment_intent"] for row in named), judged(named, BALANCES, accounts), strict=True)
    )
    found = judged(shuffled, BALANCES, accounts[::-1])
    assert dict(zip((row["payment_intent"] for row in shuffled), found, strict=True)) == expected


def test_each_reason_has_a_sentence() -> None:
    """A reason is a name for machines and a sentence for people."""
    for reason in Reason:
        assert reason.text.endswith(".")
        assert reason == reason.value
        assert reason.value.replace("_", "").isalpha()


@pytest.mark.parametrize(
    "verdict,reason,expected",
    [
        (Verdict.LACKING, Reason.LOG_SHOWS_NONE, True),
        (Verdict.IN_DOUBT, Reason.CORRECTION_IN_DOUBT, True),
        (Verdict.AMBIGUOUS, Reason.TWO_CERTIFICATES, True),
        (Verdict.UNISSUED, Reason.NO_CERTIFICATE, True),
        (Verdict.UNPAID, Reason.PAYMENT_MISSING, True),
        (Verdict.OVER_CREDITED, Reason.CREDITED_TWICE, True),
        (Verdict.WITHDRAWN, Reason.REFUNDED_AFTER_CREDIT, True),
        (Verdict.WITHDRAWN, Reason.REFUNDED, False),
        (Verdict.CREDITED, Reason.TOP_UPS_UNKNOWN, False),
        (Verdict.PENDING, Reason.WITHIN_GRACE, False),
        (Verdict.FOREIGN, Reason.FOREIGN_PAYMENT, False),
    ],
)
def test_breaks_are_what_needs_attention(verdict: Verdict, reason: Reason, *, expected: bool) -> None:
    """Withdrawn is a break only where it was credited; unknown top-ups are none."""
    assert is_break(verdict, reason) is expected


def test_a_finding_explains_itself() -> None:
    """Two sentences say what and why."""
    finding = Finding(Verdict.LACKING, Basis.LOG, Reason.LOG_SHOWS_NONE)

    assert finding.is_break
    assert finding.explain() == (
        "The UCRED is owed and has not arrived. "
        "The log is proved complete and shows no credit for this purchase."
    )
