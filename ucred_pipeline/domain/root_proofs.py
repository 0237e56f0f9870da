"""Tells by state roots which of a few doubtful credits took effect, where the whole state is known.

A root commits to every balance. So where the balances that are known reproduce the root of now, and taking
away some credits from them reproduces the root of before, those credits are all that happened in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from ucred_pipeline.domain.state_root import UCRED, Balances, state_root

#: So many credits in question make 32 roots to compute; with more of them nothing is concluded.
MOST_IN_QUESTION: Final = 5


@dataclass(frozen=True, slots=True)
class Credited:
    """A credit that took effect, or may have: wei of UCRED on an account; `name` tells it from others."""

    name: str
    account: str
    wei: int


def took_effect(
    now: Balances, root_before: str, since: Iterable[Credited], in_question: Sequence[Credited]
) -> frozenset[str] | None:
    """Name those in question that took effect between `root_before` and `now`; None if nothing explains it.

    `since` are the credits that surely took effect in between. Sound only where nothing debits.
    """
    if len(in_question) > MOST_IN_QUESTION:
        return None
    found = [
        frozenset(credit.name for credit in chosen)
        for count in range(len(in_question) + 1)
        for chosen in combinations(in_question, count)
        if _root_without(now, [*since, *chosen]) == root_before
    ]
    return found[0] if len(found) == 1 else None


def _root_without(now: Balances, credits_taken: Iterable[Credited]) -> str | None:
    """Compute the root before some credits; None where an account never held so much."""
    before = dict(now)
    for credit in credits_taken:
        key = (UCRED, credit.account)
        before[key] = before.get(key, 0) - credit.wei
    return state_root(before) if min(before.values(), default=0) >= 0 else None
