"""Reward rules: what a purchase earns, by its type and by the day on which it was made.

A rule is data. The latest rule of the type that is in force on the UTC day of the payment's creation
decides; a type without a rule for all times is an error of the settings, found at construction.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Final

from ucred_pipeline.domain.money import WEI_PER_UCRED, checked_wei, format_ucred


class InvalidReward(ValueError):
    """The reward rules do not say, or say twice, what a purchase earns."""


class PurchaseType(StrEnum):
    """What was bought."""

    NAMESPACE = "namespace"
    FRIENDS_AND_FAMILY = "friends_and_family"
    NIL = "nil"


def classify(
    metadata: Mapping[str, str], nil_name: str | None, friends_and_family_keys: Collection[str]
) -> PurchaseType:
    """Tell the type of a purchase.

    A friends-and-family key of the payment's metadata that is not empty comes first, because its
    rule may need no certificate; then the payments database's `nil_name`, or the metadata's own.
    """
    if any(metadata.get(key) for key in friends_and_family_keys):
        return PurchaseType.FRIENDS_AND_FAMILY
    if nil_name or metadata.get("nil_name"):
        return PurchaseType.NIL
    return PurchaseType.NAMESPACE


@dataclass(frozen=True, slots=True)
class RewardRule:
    """What purchases of one type earn from a UTC day on; `since` None is from the beginning."""

    purchase_type: PurchaseType
    wei: int
    since: date | None = None
    needs_certificate: bool = True

    def __post_init__(self) -> None:
        checked_wei(self.wei)

    @property
    def name(self) -> str:
        """The name by which people see the rule."""
        since = f" since {self.since.isoformat()}" if self.since else ""
        return f"{self.purchase_type} {format_ucred(self.wei)} UCRED{since}"

    def in_force(self, day: date) -> bool:
        """Whether the rule applies to a purchase of that day."""
        return self.since is None or self.since <= day


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What one purchase earns, by which rule, and whether a certificate must come first."""

    wei: int
    rule: str
    needs_certificate: bool


def _first_day(rule: RewardRule) -> date:
    return rule.since or date.min


def _refuse_gaps(rules: Collection[RewardRule]) -> None:
    always = {rule.purchase_type for rule in rules if rule.since is None}
    missing = sorted(set(PurchaseType) - always)
    if missing:
        message = f"no reward rule without a first day for: {', '.join(missing)}"
        raise InvalidReward(message)


def _refuse_rivals(rules: Collection[RewardRule]) -> None:
    moment = attrgetter("purchase_type", "since")
    for (kind, since), rivals in groupby(
        sorted(rules, key=lambda rule: (rule.purchase_type, _first_day(rule))), moment
    ):
        if len(list(rivals)) > 1:
            message = f"two reward rules for {kind} since {since or 'the beginning'}"
            raise InvalidReward(message)


@dataclass(frozen=True, slots=True)
class RewardTable:
    """All reward rules: each type has one from the beginning, and at most one from any day."""

    rules: tuple[RewardRule, ...]

    def __post_init__(self) -> None:
        _refuse_gaps(self.rules)
        _refuse_rivals(self.rules)

    def rule(self, purchase_type: PurchaseType, created: datetime) -> RewardRule:
        """Find the rule for a purchase: the latest of its type in force on its UTC day."""
        if created.tzinfo is None:
            message = "a time without an offset from UTC cannot be trusted"
            raise InvalidReward(message)
        day = created.astimezone(UTC).date()
        applicable = (
            rule for rule in self.rules if rule.purchase_type == purchase_type and rule.in_force(day)
        )
        return max(applicable, key=_first_day)

    def entitlement(self, purchase_type: PurchaseType, created: datetime) -> Entitlement:
        """Tell what a purchase earns."""
        rule = self.rule(purchase_type, created)
        return Entitlement(rule.wei, rule.name, rule.needs_certificate)


#: Today's rules: 1 UCRED for each type.
TODAYS_REWARDS: Final = RewardTable(tuple(RewardRule(kind, WEI_PER_UCRED) for kind in PurchaseType))
