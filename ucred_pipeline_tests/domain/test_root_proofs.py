"""State roots tell which doubtful credits took effect, and tell nothing where anything else happened."""

from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.domain.root_proofs import MOST_IN_QUESTION, Credited, took_effect
from ucred_pipeline.domain.state_root import GENESIS, UCRED, state_root

_ACCOUNTS = st.sampled_from([f"acct:user:{name}@example.com" for name in "abcd"])
_CREDITS = st.lists(st.tuples(_ACCOUNTS, st.integers(1, 3)), max_size=MOST_IN_QUESTION)


def state(*given_credits: Credited) -> dict[tuple[str, str], int]:
    """Give the state after some credits."""
    balances = dict(GENESIS)
    for credit in given_credits:
        key = (UCRED, credit.account)
        balances[key] = balances.get(key, 0) + credit.wei
    return balances


def named(drawn: list[tuple[str, int]], kind: str) -> list[Credited]:
    """Name drawn credits; each doubt is of an account of its own, as the ledger has it."""
    return [Credited(f"{kind}{place}", account, wei) for place, (account, wei) in enumerate(drawn)]


def apart(drawn: list[Credited]) -> list[Credited]:
    """Keep one credit for each account."""
    return list({credit.account: credit for credit in drawn}.values())


@given(_CREDITS, _CREDITS, _CREDITS, st.sets(st.integers(0, MOST_IN_QUESTION)))
def test_exactly_those_that_took_effect_are_named(
    earlier: list[tuple[str, int]],
    since: list[tuple[str, int]],
    doubtful: list[tuple[str, int]],
    happened: set[int],
) -> None:
    """Whatever was there before and came since, the doubts that took effect are named and no others."""
    before, surely = named(earlier, "before"), named(since, "since")
    doubts = apart(named(doubtful, "doubt"))
    took = [doubt for place, doubt in enumerate(doubts) if place in happened]

    found = took_effect(state(*before, *surely, *took), state_root(state(*before)), surely, doubts)

    assert found == frozenset(doubt.name for doubt in took)


@given(_CREDITS, st.tuples(_ACCOUNTS, st.integers(5, 9)))
def test_what_else_happened_is_not_explained_away(
    doubtful: list[tuple[str, int]], stranger: tuple[str, int]
) -> None:
    """A credit that nobody named, larger than all in question, leaves nothing concluded."""
    doubts = apart(named(doubtful, "doubt"))
    other = Credited("stranger", *stranger)

    assert took_effect(state(other), state_root(state()), [], doubts) is None


def test_too_many_in_question_tell_nothing() -> None:
    """More doubts than can be tried out are left to the other rungs."""
    doubts = [Credited(str(n), f"acct:user:{n}@example.com", 1) for n in range(MOST_IN_QUESTION + 1)]

    assert took_effect(state(), state_root(state()), [], doubts) is None
