"""The history has every case, knows the truth of each, and repeats with its seed."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.sandbox import PurchaseTruth, Sandbox, SandboxSpec, Verdict
from ucred_pipeline.sandbox.cases import STORIES
from ucred_pipeline_tests.sandbox.conftest import NOW, MovableClock
from ucred_pipeline_tests.sandbox.test_stripe_lists import walk

#: What a right pipeline concludes of each special case, with logs and without.
EXPECTED: dict[str, tuple[str | None, str | None]] = {
    "credited_by_support": ("credited", "credited"),
    "credited_unheard": ("credited", "credited"),
    "credited_and_topped_up": ("credited", "credited"),
    "lacking_before_crediting": ("lacking", "lacking"),
    "sixty_days_ago_lacking": ("lacking", None),
    "sixty_days_ago_sibling": ("credited", None),
    "pending": ("pending", "pending"),
    "unissued_failed": ("unissued", "unissued"),
    "unissued_without_row": ("unissued", "unissued"),
    "unissued_unknown_to_database": ("unissued", "unissued"),
    "unissued_placeholder": ("unissued", "unissued"),
    "unpaid_canceled": ("unpaid", "unpaid"),
    "unpaid_abandoned": ("unpaid", "unpaid"),
    "over_credited": ("over_credited", "credited"),
    "withdrawn_voided_credited": ("withdrawn", "withdrawn"),
    "withdrawn_voided_uncredited": ("withdrawn", "withdrawn"),
    "withdrawn_refunded_late_credited": ("withdrawn", "withdrawn"),
    "withdrawn_refunded_late_uncredited": ("withdrawn", "withdrawn"),
    "withdrawn_refunded_in_two_parts": ("withdrawn", "withdrawn"),
    "withdrawn_refund_pending": ("withdrawn", "withdrawn"),
    "withdrawn_disputed_credited": ("withdrawn", "withdrawn"),
    "withdrawn_disputed_uncredited": ("withdrawn", "withdrawn"),
    "withdrawn_dispute_lost_credited": ("withdrawn", "withdrawn"),
    "withdrawn_dispute_lost_uncredited": ("withdrawn", "withdrawn"),
    "owed_refund_failed": ("lacking", "lacking"),
    "owed_partial_refund": ("lacking", "lacking"),
    "owed_dispute_won": ("lacking", "lacking"),
    "owed_dispute_warning": ("lacking", "lacking"),
    "withdrawn_beside_lacking": ("withdrawn", "withdrawn"),
    "lacking_beside_withdrawn": ("lacking", "ambiguous"),
    "ambiguous_twice_issued": ("ambiguous", "ambiguous"),
    "ambiguous_capitals": ("ambiguous", "lacking"),
    "namespace_given_away": ("withdrawn", "withdrawn"),
    "namespace_taken_over": ("ambiguous", "ambiguous"),
    "lacking_behind_top_up": ("lacking", "credited"),
    "friends_and_family": ("credited", "credited"),
    "friends_and_family_unissued": ("unissued", "unissued"),
    "nil_labelled": ("credited", "credited"),
    "without_metadata": ("credited", "credited"),
    "many_purchases_credited": ("credited", None),
    "many_purchases_lacking": ("lacking", None),
    "address_plus": ("lacking", "lacking"),
    "address_ampersand": ("credited", "credited"),
    "address_percent": ("credited", "credited"),
    "address_quoted": ("credited", "credited"),
    "address_capitals": ("credited", "credited"),
    "address_non_ascii": ("lacking", "lacking"),
    "case_twin_capital": ("credited", "credited"),
    "case_twin_small": ("lacking", "lacking"),
    "other_address_at_stripe": ("credited", "credited"),
    "succeeded_nine_days_later": ("lacking", "lacking"),
    "abandoned": (None, None),
    "abandoned_declined": (None, None),
    "abandoned_canceled": (None, None),
    "processing": (None, None),
    "foreign": ("foreign", "foreign"),
}


def verdicts(purchase: PurchaseTruth) -> tuple[str | None, str | None]:
    """Both verdicts as plain text."""
    return (
        purchase.verdict_with_logs and purchase.verdict_with_logs.value,
        purchase.verdict_without_logs and purchase.verdict_without_logs.value,
    )


def test_every_case_is_there(default_world: Sandbox) -> None:
    """The default history leaves no case of the catalogue out."""
    assert {purchase.case for purchase in default_world.truth.purchases.values()} == set(STORIES)


@pytest.mark.parametrize("case", EXPECTED)
def test_the_truth_of_a_case(default_world: Sandbox, case: str) -> None:
    """Each special case ends with the verdicts that the design gives it."""
    purchases = default_world.truth.of_case(case)

    assert purchases
    assert {verdicts(purchase) for purchase in purchases} == {EXPECTED[case]}
    for purchase in purchases:
        assert purchase.should_be_credited is (EXPECTED[case][0] == "lacking")


def test_every_verdict_of_the_world_occurs(default_world: Sandbox) -> None:
    """In doubt is the pipeline's own; every other verdict is somewhere in the history."""
    found = {purchase.verdict_with_logs for purchase in default_world.truth.purchases.values()}

    assert set(Verdict) <= found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_default_stays_within_the_limits(tmp_path: Path, seed: int) -> None:
    """Under 80 lack their UCRED, and under 15% of what was settled in the last 35 days."""
    with Sandbox(SandboxSpec(seed=seed), folder=tmp_path) as running:
        rows = [row for row in running.truth.purchases.values() if row.owed_wei]

    lacking = sum(row.should_be_credited for row in rows)
    assert 15 < lacking < 0.15 * len(rows)


def test_a_sandbox_over_the_limits(tmp_path: Path) -> None:
    """The share can be raised over the limits."""
    with Sandbox(SandboxSpec(lacking_share=0.4), folder=tmp_path) as running:
        assert len(running.truth.to_credit) > 80


def test_special_cases_stay_few(tmp_path: Path) -> None:
    """In a bigger world the ordinary purchases grow, and the special ones hardly."""
    with Sandbox(SandboxSpec(purchases=2000), folder=tmp_path) as running:
        cases = Counter(row.case for row in running.truth.purchases.values())
        ordinary = sum(count for case, count in cases.items() if case.startswith(("credited", "lacking")))

    assert sum(cases.values()) - cases["foreign"] - sum(cases[c] for c in cases if "abandon" in c) > 1990
    assert ordinary > 1750
    assert cases["address_plus"] == 3
    assert cases["unissued_placeholder"] == 1


def test_a_plain_world(tmp_path: Path) -> None:
    """Without special cases exactly the share lacks, and the rest is credited."""
    spec = SandboxSpec(purchases=400, special_cases=False, logs=False)
    with Sandbox(spec, folder=tmp_path) as running:
        truth = running.truth
        found = Counter(row.verdict_with_logs for row in truth.purchases.values())
        lacking = sum(row.lacking_wei for row in truth.accounts.values())

    assert found == {Verdict.CREDITED: 380, Verdict.LACKING: 20}
    assert lacking == 20 * WEI_PER_UCRED
    assert 1.25 < 400 / len(truth.accounts) < 1.55


def test_accounts_beyond_64_bits(default_world: Sandbox) -> None:
    """One account holds more wei than a signed 64-bit integer, and one UCRED of it is lacking."""
    account = default_world.truth.of_case("many_purchases_lacking")[0].account
    row = default_world.truth.accounts[account]

    assert row.balance_wei > 2**63
    assert row.lacking_wei == WEI_PER_UCRED


def test_twins_differ_in_case_only(default_world: Sandbox) -> None:
    """Two accounts are one but for their capitals."""
    (capital,) = default_world.truth.of_case("case_twin_capital")
    (small,) = default_world.truth.of_case("case_twin_small")

    assert capital.account != small.account
    assert capital.account.lower() == small.account


def test_balances_are_what_the_truth_says(default_world: Sandbox) -> None:
    """The indexer holds what others have credited, account by account."""
    with httpx.Client(base_url=default_world.indexer_base, trust_env=False) as client:
        for row in default_world.truth.accounts.values():
            held = client.get("/balances", params={"account": row.account}).json()
            expected = [{"asset": "UCRED", "balance_wei": str(row.balance_wei)}] if row.balance_wei else []
            assert held == expected


def test_the_late_payment(default_world: Sandbox, default_stripe: httpx.Client) -> None:
    """It was created twelve days ago, and its charge is nine days younger."""
    (late,) = default_world.truth.of_case("succeeded_nine_days_later")
    rows = walk(default_stripe, "/v1/payment_intents", **{"expand[]": "data.latest_charge"})
    intent = next(row for row in rows if row["id"] == late.payment_intent)

    assert intent["created"] < (NOW - timedelta(days=12)).timestamp()
    assert intent["latest_charge"]["created"] - intent["created"] >= 9 * 86_400


def test_nothing_is_in_the_future(default_world: Sandbox, default_stripe: httpx.Client) -> None:
    """Neither an object nor a credit is younger than now."""
    for path in ("payment_intents", "charges", "refunds", "disputes", "events"):
        assert all(row["created"] <= NOW.timestamp() for row in walk(default_stripe, f"/v1/{path}"))
    assert all(credit.at <= NOW for credit in default_world.credits)


def everything(folder: Path, spec: SandboxSpec) -> tuple[Any, ...]:
    """All that a world consists of."""
    with Sandbox(spec, folder=folder, clock=MovableClock()) as running:
        with closing(sqlite3.connect(running.folder / "payments.db")) as connection:
            database = list(connection.iterdump())
        logs = [(running.folder / name).read_bytes() for name in ("indexer.log", "payments.log")]
        return running.truth, running.credits, database, *logs


def test_the_same_seed_makes_the_same_world(tmp_path: Path) -> None:
    """Truth, credits, database, and logs repeat; another seed makes another world."""
    first = everything(tmp_path / "first", SandboxSpec(seed=7))

    assert everything(tmp_path / "second", SandboxSpec(seed=7)) == first
    assert everything(tmp_path / "third", SandboxSpec(seed=8)) != first


def test_the_truth_is_written_down(default_world: Sandbox) -> None:
    """The file says the same as the object, with amounts as text."""
    document = json.loads((default_world.folder / "truth.json").read_text(encoding="utf-8"))

    assert document == json.loads(json.dumps(default_world.truth.document()))
    assert {row["owed_wei"] for row in document["purchases"]} == {"0", str(WEI_PER_UCRED)}


def test_one_answer_is_lost_by_default(tmp_path: Path) -> None:
    """With logs the next credit of one lacking account loses its answer, once; without logs none does."""
    with Sandbox(folder=tmp_path / "with") as running:
        lost = running.faults.accounts("indexer-drop-after")
        assert len(lost) == 1
        assert lost <= {row.account for row in running.truth.to_credit.values()}
    with Sandbox(SandboxSpec(logs=False), folder=tmp_path / "without") as running:
        assert running.faults.accounts("indexer-drop-after") == set()


@pytest.mark.parametrize("field, value", [("purchases", -1), ("lacking_share", 1.5)])
def test_an_impossible_world_is_refused(field: str, value: float) -> None:
    """A spec says at once what cannot be."""
    with pytest.raises(ValueError, match=r"sandbox cannot|share"):
        SandboxSpec(**{field: value})  # type: ignore[arg-type]
