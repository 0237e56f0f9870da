"""The judge against a slow and obvious one, account by account, in Python's integers."""

from collections import defaultdict
from math import gcd
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline_tests.domain.judging_cases import GRACE, HOUR, NOW, UCRED, account, judged, purchase
from ucred_pipeline_tests.domain.slow_judge import Row, judge_account, largest_sum

YES = [True]
NO = [False]
#: What a purchase has that most have not.
ODD: dict[str, list[Any]] = {
    "account": [None],
    "namespace": ["s.x", None],
    "due_since_us": [NOW - GRACE, NOW - GRACE + 1, NOW - HOUR, NOW + GRACE, NOW + GRACE + 1],
    "entitlement": [0, 2 * UCRED, str(5 * UCRED), 3 * UCRED + 1],
    "issued_rows": [0, 2],
    "receipts": [1, 2],
    "lines": [1, 2],
    "lines_other_case": [1],
    "decision": ["credited", "not_credited"],
    "needs_certificate": NO,
    "succeeded": NO,
    "payment_known": NO,
    "stripe_whole": NO,
    "foreign": YES,
    "refunded": YES,
    "disputed": YES,
    "voided": YES,
    "doubt": YES,
    "minted": YES,
    "mint_refused": YES,
    "corrected": YES,
    "shares_namespace": YES,
    "addresses_differ": YES,
    "stripe_address_differs": YES,
    "credited_in_part": YES,
    "unexplained": YES,
}


def rarely(strategy: st.SearchStrategy[Any], usual: Any) -> st.SearchStrategy[Any]:
    """Draw what is usual most of the time."""
    return st.integers(0, 9).flatmap(lambda drawn: strategy if drawn == 9 else st.just(usual))


odd = st.sampled_from([(name, value) for name, values in ODD.items() for value in values])
purchases_drawn = st.builds(
    lambda usual, differing: usual | dict(differing),
    st.fixed_dictionaries(
        {
            "created_us": st.sampled_from(
                [NOW - 50 * HOUR, NOW - 40 * HOUR, NOW - 2 * HOUR, NOW - HOUR, NOW - GRACE // 2]
            ),
            "due_since_us": st.just(-1),
            "previous_verdict": st.sampled_from(
                [None, "credited", "lacking", "pending", "ambiguous", "unpaid"]
            ),
        }
    ),
    st.lists(odd, max_size=6),
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
accounts_drawn = st.lists(
    st.tuples(st.none() | balances_drawn, st.lists(purchases_drawn, max_size=9)), min_size=1, max_size=4
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


@settings(max_examples=300)
@given(accounts_drawn, evidence_drawn)
def test_the_judge_says_what_the_slow_one_says(
    drawn: list[tuple[Row | None, list[Row]]], evidence: Evidence
) -> None:
    """Verdict and reason of each purchase are the same, whatever the evidence."""
    rows: list[Row] = []
    balances: dict[str, Row] = {}
    for name, (balance, purchases) in zip("abcd", drawn, strict=False):
        if balance is not None:
            balances[name] = account(**balance, account=name)
        rows += [
            purchase(f"pi_{place}", **{"account": name} | differing)
            for place, differing in enumerate(purchases, len(rows))
        ]
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
