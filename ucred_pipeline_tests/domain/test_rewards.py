"""What a purchase earns is data: by type and by day."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from ucred_pipeline.domain.money import InvalidAmount
from ucred_pipeline.domain.rewards import (
    TODAYS_REWARDS,
    InvalidReward,
    PurchaseType,
    RewardRule,
    RewardTable,
    classify,
)

UCRED = 10**18
KEYS = ("ff_code", "genesis_founder")
TODAY = datetime(2026, 1, 21, 17, 46, tzinfo=UTC)


def table_with(*rules: RewardRule) -> RewardTable:
    """Add rules to those of today."""
    return RewardTable((*TODAYS_REWARDS.rules, *rules))


@pytest.mark.parametrize("kind", list(PurchaseType))
def test_each_type_earns_one_ucred_today(kind: PurchaseType) -> None:
    """Today every purchase earns 1 UCRED and needs its certificate."""
    earned = TODAYS_REWARDS.entitlement(kind, TODAY)

    assert (earned.wei, earned.needs_certificate) == (UCRED, True)
    assert f"{kind} 1 UCRED" == earned.rule


@pytest.mark.parametrize(
    "metadata,nil_name,expected",
    [
        ({}, None, PurchaseType.NAMESPACE),
        ({"rarity_tier": "rare", "ff_code": "", "nil_name": ""}, "", PurchaseType.NAMESPACE),
        ({"ff_code": "F1"}, None, PurchaseType.FRIENDS_AND_FAMILY),
        ({"genesis_founder": "true"}, None, PurchaseType.FRIENDS_AND_FAMILY),
        ({}, "lisbon", PurchaseType.NIL),
        ({"nil_name": "lisbon"}, None, PurchaseType.NIL),
        ({"ff_code": "F1"}, "lisbon", PurchaseType.FRIENDS_AND_FAMILY),
    ],
)
def test_the_type_is_told_from_the_records(
    metadata: dict[str, str], nil_name: str | None, expected: PurchaseType
) -> None:
    """Friends and family first, then the NIL label, then an ordinary namespace; an empty value is none."""
    assert expected == classify(metadata, nil_name, KEYS)


def test_the_latest_rule_in_force_decides() -> None:
    """A dated rule applies from its UTC day on, whatever the order of the rules."""
    dated = table_with(
        RewardRule(PurchaseType.NIL, 5 * UCRED, date(2026, 3, 1)),
        RewardRule(PurchaseType.NIL, 2 * UCRED, date(2026, 2, 1), needs_certificate=False),
    )
    days = [
        datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 3, 9, tzinfo=UTC),
    ]
    earned = [dated.entitlement(PurchaseType.NIL, day) for day in days]

    assert [each.wei for each in earned] == [UCRED, 2 * UCRED, 5 * UCRED]
    assert [each.needs_certificate for each in earned] == [True, False, True]
    assert earned[1].rule == "nil 2 UCRED since 2026-02-01"


def test_the_day_is_the_utc_day() -> None:
    """A purchase late in the evening in New York is of the next UTC day."""
    dated = table_with(RewardRule(PurchaseType.NAMESPACE, 2 * UCRED, date(2026, 2, 1)))
    evening = datetime(2026, 1, 31, 20, 0, tzinfo=timezone(timedelta(hours=-5)))

    assert dated.entitlement(PurchaseType.NAMESPACE, evening).wei == 2 * UCRED


def test_a_naive_time_is_refused() -> None:
    """Without an offset the day is a guess."""
    with pytest.raises(InvalidReward):
        TODAYS_REWARDS.entitlement(PurchaseType.NAMESPACE, TODAY.replace(tzinfo=None))


def test_a_type_without_a_rule_is_an_error() -> None:
    """A purchase that no rule covers would silently earn nothing."""
    with pytest.raises(InvalidReward, match="friends_and_family, nil"):
        RewardTable(
            (RewardRule(PurchaseType.NAMESPACE, UCRED), RewardRule(PurchaseType.NIL, 1, date(2026, 1, 1)))
        )


@pytest.mark.parametrize("since", [None, date(2026, 2, 1)])
def test_two_rules_for_one_day_are_an_error(since: date | None) -> None:
    """Which of the two would apply is nobody's guess."""
    rival = RewardRule(PurchaseType.NIL, 3 * UCRED, since)
    with pytest.raises(InvalidReward, match="two reward rules for nil"):
        table_with(rival, rival)


@pytest.mark.parametrize("wei", [-1, 2**128, True])
def test_an_amount_that_the_indexer_cannot_hold_is_an_error(wei: int) -> None:
    """A reward is an unsigned integer of 128 bits."""
    with pytest.raises(InvalidAmount):
        RewardRule(PurchaseType.NIL, wei)


def test_fractions_of_a_ucred_are_exact() -> None:
    """Half a UCRED and one wei is a reward like any other."""
    rule = RewardRule(PurchaseType.NIL, UCRED // 2 + 1)

    assert rule.name == "nil 0.500000000000000001 UCRED"
