"""How long judging takes beside a plain pandas script that asks the same question of the same data.

Both find which purchases lack from the balances alone, the oldest covered first, exact to the wei.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from ucred_pipeline.domain.judging import judge
from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline.domain.money import WEI_PER_UCRED

MINUTE_US = 60_000_000
NOW_US = 1_770_000_000_000_000
SEED = 20260121


def purchases_of(count: int, random: np.random.Generator) -> pd.DataFrame:
    """Make purchases of the last year; collectors made one of ten, some fifty each."""
    buyers = random.integers(0, max(count * 3 // 5, 1), count)
    collectors = random.random(count) < 0.1
    buyers[collectors] %= max(count // 500, 1)
    created = NOW_US - random.integers(60 * MINUTE_US, 365 * 24 * 60 * MINUTE_US, count)
    return pd.DataFrame(
        {
            "payment_intent": [f"pi_{number:024d}" for number in random.permutation(count)],
            "account": [f"acct:user:buyer{buyer}@example.com" for buyer in buyers],
            "namespace": [f"{number}.x" for number in range(count)],
            "created_us": created,
            "due_since_us": created,
            "entitlement": str(WEI_PER_UCRED),
        }
    )


def with_evidence(purchases: pd.DataFrame) -> pd.DataFrame:
    """Add what the judge wants to know and the plain script does not."""
    no = dict.fromkeys(
        ("foreign", "refunded", "disputed", "voided", "doubt", "minted", "mint_refused", "corrected"),
        False,
    )
    nothing = dict.fromkeys(("receipts", "lines", "lines_other_case"), 0)
    return purchases.assign(
        **no,
        **nothing,
        credited_in_part=False,
        addresses_differ=False,
        stripe_address_differs=False,
        shares_namespace=False,
        name_unreadable=False,
        unexplained=False,
        succeeded=True,
        payment_known=True,
        stripe_whole=True,
        needs_certificate=True,
        issued_rows=1,
        previous_verdict=None,
        decision=None,
    )


def accounts_of(purchases: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Make balances in which one credit of twenty is missing, as the indexer writes them."""
    arrived = random.random(len(purchases)) >= 0.05
    held = purchases.assign(arrived=arrived.astype(int)).groupby("account", as_index=False)["arrived"].sum()
    return pd.DataFrame(
        {
            "account": held["account"],
            "balance": [str(count * WEI_PER_UCRED) for count in held["arrived"]],
            "as_of_us": NOW_US,
            "known_other_wei": "0",
            "proof_us": -1,
        }
    )


def with_the_judge(purchases: pd.DataFrame, accounts: pd.DataFrame) -> int:
    """Count what lacks as the pipeline does."""
    findings = judge(purchases, accounts, Evidence(now_us=NOW_US, grace_us=30 * MINUTE_US))
    return int((findings["verdict"] == "lacking").sum())


def with_plain_pandas(purchases: pd.DataFrame, accounts: pd.DataFrame) -> int:
    """Count what lacks with merge, groupby and cumsum over exact Python integers."""
    merged = purchases[["payment_intent", "account", "created_us", "entitlement"]].merge(
        accounts[["account", "balance"]], on="account", how="left"
    )
    merged = merged.sort_values(["account", "created_us", "payment_intent"])
    merged["balance"] = merged["balance"].map(int).astype(object)
    merged["entitlement"] = merged["entitlement"].map(int).astype(object)
    # The cumsum of pandas' groupby refuses integers beyond 64 bits, so each group sums its own.
    merged["needed"] = merged.groupby("account", sort=False)["entitlement"].transform(np.cumsum)
    return int((merged["needed"] > merged["balance"]).sum())


def with_a_loop(purchases: pd.DataFrame, accounts: pd.DataFrame) -> int:
    """Count what lacks with a hand-written loop, which knows none of the judge's rules."""
    left = dict(zip(accounts["account"], map(int, accounts["balance"]), strict=True))
    ordered = purchases.sort_values(["account", "created_us", "payment_intent"])
    lacking = 0
    for account, amount in zip(ordered["account"], map(int, ordered["entitlement"]), strict=True):
        left[account] -= amount
        lacking += left[account] < 0
    return lacking


def with_int64(purchases: pd.DataFrame, accounts: pd.DataFrame) -> int:
    """Count what lacks with the same script in 64 bits, which overflows and does not say so."""
    merged = purchases[["payment_intent", "account", "created_us"]].merge(
        accounts[["account", "balance"]], on="account", how="left"
    )
    merged = merged.sort_values(["account", "created_us", "payment_intent"])
    merged["needed"] = merged.assign(wei=WEI_PER_UCRED).groupby("account", sort=False)["wei"].cumsum()
    return int((merged["needed"] > merged["balance"].map(int).astype(object)).sum())


def timed(name: str, count: Callable[[], int]) -> tuple[int, float]:
    """Run once and print the time and the answer."""
    began = time.perf_counter()
    lacking = count()
    seconds = time.perf_counter() - began
    print(f"{name:<34} {seconds:8.2f} s   {lacking:>9,} lacking")
    return lacking, seconds


def main() -> None:
    """Time all on the same data, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--purchases", type=int, default=1_000_000)
    count = parser.parse_args().purchases
    random = np.random.default_rng(SEED)
    plain = purchases_of(count, random)
    purchases, accounts = with_evidence(plain), accounts_of(plain, random)
    print(f"{len(purchases):,} purchases of {len(accounts):,} accounts")
    ours, our_seconds = timed("the judge", lambda: with_the_judge(purchases, accounts))
    exact, plain_seconds = timed("plain pandas, exact integers", lambda: with_plain_pandas(plain, accounts))
    looped, _ = timed("a plain Python loop", lambda: with_a_loop(plain, accounts))
    wrong, _ = timed("plain pandas, int64", lambda: with_int64(plain, accounts))
    print(f"the judge is {plain_seconds / our_seconds:.1f} times as fast as the exact script")
    print(f"the int64 script is wrong by {abs(wrong - exact):,}, without a warning")
    if not ours == exact == looped:
        raise SystemExit("the exact counts disagree")


if __name__ == "__main__":
    main()
