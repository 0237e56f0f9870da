"""The judge against a slow and obvious one, account by account, in Python's integers."""

from collections import defaultdict
from math import gcd
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline_tests.domain.judging_cases import ANN, GRACE, HOUR, NOW, UCRED, account, judged, purchase
from ucred_pipeline_tests.domain.slow_judge import Row, judge_account, largest_sum

BOB = "acct:user:bob@example.com"


def rarely(strategy: st.SearchStrategy[Any], usual: Any) -> st.SearchStrategy[Any]:
    """Draw what is usual most of the time."""
    return st.integers(0, 9).flatmap(lambda drawn: strategy if drawn == 9 else st.just(usual))


yes = rarely(st.just(value=True), usual=False)
no = rarely(st.just(value=False), usual=True)
purchases_drawn = st.fixed_dictionaries(
    {
        "account": rarely(st.just(None), ANN) | st.just(BOB),
        "namespace": rarely(st.sampled_from(["s.x", None]), "own"),
        "created_us": st.sampled_from(
            [NOW - 50 * HOUR, NOW - 40 * HOUR, NOW - 2 * HOUR, NOW - HOUR, NOW - GRACE // 2]
        ),
        "due_since_us": rarely(st.sampled_from([NOW - GRACE, NOW - GRACE + 1, NOW - HOUR]), -1),
        "entitlement": st.just(UCRED)
        | rarely(st.sampled_from([0, 2 * UCRED, str(5 * UCRED), 3 * UCRED + 1]), UCRED),
        "issued_rows": rarely(st.sampled_from([0, 2]), 1),
        "receipts": rarely(st.integers(1, 2), 0),
        "lines": st.just(0) | rarely(st.integers(1, 2), 0),
        "lines_other_case": rarely(st.just(1), 0),
        "previous_verdict": st.sampled_from([None, "credited", "lacking", "pending", "ambiguous", "unpaid"]),
        "decision": rarely(st.sampled_from(["credited", "not_credited"]), None),
        "needs_certificate": no,
        "succeeded": no,
        "payment_known": no,
        "stripe_whole": no,
        **dict.fromkeys(
            [
                "foreign",
                "refunded",
                "disputed",
                "voided",
                "doubt",
                "minted",
                "mint_refused",
                "corrected",
                "shares_namespace",
                "addresses_differ",
            ],
            yes,
        ),
    }
)
balances_drawn = st.fixed_dictionaries(
    {
        "balance": rarely(st.none(), 0)
        | st.integers(0, 20).map(lambda count: count * UCRED)
        | st.integers(0, 2**70),
        "known_other_wei": rarely(st.sampled_from([UCRED, str(3 * UCRED), -UCRED]), 0),
        "as_of_us": st.sampled_from([NOW, NOW - HOUR // 4, NOW - HOUR, NOW - 45 * HOUR]),
        "proof_us": rarely(st.just(NOW - HOUR // 2), -1),
    }
)
evidence_drawn = st.builds(
    Evidence,
    now_us=st.just(NOW),
    grace_us=st.just(GRACE),
    log_complete=rarely(st.just(value=True), usual=False),
    log_as_of_us=st.sampled_from([NOW, NOW - HOUR, NOW - 45 * HOUR]),
    other_writers=st.booleans(),
    debits_possible=rarely(st.just(value=True), usual=False),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(purchases_drawn, max_size=9), balances_drawn, st.none() | balances_drawn, evidence_drawn)
def test_the_judge_says_what_the_slow_one_says(
    drawn: list[Row], ann: Row, bob: Row | None, evidence: Evidence
) -> None:
    """Verdict and reason of each purchase are the same, whatever the evidence."""
    rows = [purchase(f"pi_{place}", **row) for place, row in enumerate(drawn)]
    for row in rows:
        row["namespace"] = row["payment_intent"] if row["namespace"] == "own" else row["namespace"]
    balances = {ANN: account(**ann)} | ({BOB: account(**{**bob, "account": BOB})} if bob else {})
    grouped = defaultdict(list)
    for row in rows:
        grouped[row["account"] or row["payment_intent"]].append(row)
    expected: dict[str, tuple[str, str]] = {}
    for name, group in grouped.items():
        expected |= judge_account(group, balances.get(name), evidence)

    found = judged(rows, evidence, balances.values())
    assert {row["payment_intent"]: (v, why) for row, (v, _, why) in zip(rows, found, strict=True)} == expected


@given(st.lists(st.integers(1, 12), max_size=8), st.integers(0, 60))
def test_the_divisor_bounds_every_sum(amounts: list[int], limit: int) -> None:
    """The bound that stands in for many sums is never below the largest of them."""
    divisor = gcd(*amounts) or 1

    assert largest_sum(amounts, limit) <= limit // divisor * divisor
