"""Worlds whose truth is known: what the judge calls lacking can be credited without ever paying too much."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline_tests.domain.judging_cases import (
    BALANCES,
    DEBITS,
    GRACE,
    HOUR,
    LOG,
    NOW,
    UCRED,
    account,
    judged,
    purchase,
)

OWED, REFUNDED, UNPAID, TWO_CERTIFICATES = "owed", "refunded", "unpaid", "two_certificates"
CONFIRMED, APPLIED, LATE, LOST = "confirmed", "applied", "late", "lost"
STATES: dict[str, dict[str, Any]] = {
    OWED: {},
    REFUNDED: {"refunded": True},
    UNPAID: {"succeeded": False},
    TWO_CERTIFICATES: {"issued_rows": 2},
}


@dataclass
class Bought:
    """A purchase and what truly happened to it."""

    wei: int
    state: str
    young: bool
    minted: int
    seen: bool
    by_hand: int = 0
    corrected: int = 0
    doubt: str | None = None

    def row(self, name: str, buyer: str, *, log: bool) -> dict[str, Any]:
        """Show it as the sources do."""
        created = NOW - (GRACE // 2 if self.young else 9 * HOUR)
        return purchase(
            name,
            account=buyer,
            entitlement=self.wei,
            created_us=created,
            receipts=self.corrected,
            doubt=self.doubt is not None,
            lines=self.minted + self.by_hand if log or self.seen else 0,
            **STATES[self.state],
        )

    @property
    def arrived(self) -> int:
        """How many credits truly took effect."""
        return self.minted + self.by_hand + self.corrected + (self.doubt == APPLIED)

    def settle(self) -> None:
        """Learn what became of a correction in doubt; one that was late takes effect now."""
        self.corrected += self.doubt in {APPLIED, LATE}
        self.doubt = None

    @property
    def is_owed(self) -> bool:
        """Whether the customer is truly owed this purchase's reward."""
        return self.state in {OWED, TWO_CERTIFICATES}


@dataclass(frozen=True)
class Step:
    """A correction of the purchase at a place among those that lack, and what becomes of it."""

    place: int
    settles: bool
    shows: bool
    fate: str


@dataclass
class World:
    """One account's purchases, and what others put there."""

    bought: list[Bought]
    top_up: int = 0
    top_up_seen: bool = False

    @property
    def balance(self) -> int:
        """What the indexer truly holds."""
        return self.top_up + sum(each.wei * each.arrived for each in self.bought)

    def live(self, step: Step, lacks: Sequence[Bought]) -> None:
        """Correct one of those that lack; perhaps learn of credits and of doubts, and grow old."""
        for each in lacks[step.place :][:1]:
            each.corrected += step.fate == CONFIRMED
            each.doubt = None if step.fate == CONFIRMED else step.fate
        for each in self.bought[: step.place + 1]:
            each.seen = each.seen or step.shows
            each.young = each.young and not step.settles
        for each in self.bought if step.settles else []:
            each.settle()

    def received(self) -> int:
        """Sum what arrived for purchases that are owed; a second credit by others is theirs to answer for."""
        return sum(
            each.wei * (min(each.minted + each.by_hand, 1) + each.corrected)
            for each in self.bought
            if each.is_owed
        )

    def owed(self) -> int:
        """Sum what the customer is owed."""
        return sum(each.wei for each in self.bought if each.is_owed)


def lacking(worlds: Sequence[World], evidence: Evidence) -> list[list[Bought]]:
    """Judge what can be seen of all at once, and give what is called lacking in each."""
    log = evidence.log_complete
    rows = [
        each.row(f"pi_{place}_{number}", f"buyer {place}", log=log)
        for place, world in enumerate(worlds)
        for number, each in enumerate(world.bought)
    ]
    accounts = [
        account(
            world.balance,
            account=f"buyer {place}",
            known_other_wei=world.top_up if log or world.top_up_seen else 0,
        )
        for place, world in enumerate(worlds)
    ]
    found = iter(judged(rows, evidence, accounts))
    return [
        [
            each
            for each, (verdict, _, _) in zip(world.bought, islice(found, len(world.bought)), strict=True)
            if verdict == "lacking"
        ]
        for world in worlds
    ]


def bought(amounts: st.SearchStrategy[int], states: st.SearchStrategy[str]) -> st.SearchStrategy[Bought]:
    """Draw a purchase."""
    return st.builds(
        Bought,
        wei=amounts,
        state=states,
        young=st.sampled_from([False, False, False, True]),
        minted=st.sampled_from([0, 1, 1]),
        seen=st.sampled_from([False, False, True]),
        by_hand=st.sampled_from([0, 0, 0, 0, 1]),
    )


equal = st.just(UCRED)
different = st.sampled_from([UCRED, 2 * UCRED, 5 * UCRED, 10 * UCRED, UCRED // 2])
any_state = st.sampled_from([OWED, OWED, OWED, REFUNDED, UNPAID, TWO_CERTIFICATES])
anything = st.lists(bought(equal, any_state), max_size=7) | st.lists(bought(different, any_state), max_size=7)
fates = st.sampled_from([CONFIRMED, CONFIRMED, APPLIED, LATE, LOST])
#: Where a balance is shared by what others credited, unseen, and what truly lacks, conventions decide most.
muddled = st.lists(
    st.builds(
        Bought,
        wei=equal,
        state=st.just(OWED),
        young=st.just(value=False),
        minted=st.sampled_from([0, 0, 1]),
        seen=st.just(value=False),
        by_hand=st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=4,
    max_size=8,
)
seldom = st.sampled_from([False, False, False, True])
steps_drawn = st.lists(
    st.builds(Step, st.sampled_from([0, 0, 1, 2, 6]), seldom, seldom, fates), min_size=1, max_size=6
)
top_ups = st.sampled_from([0, 0, 1, UCRED // 2, UCRED, 3 * UCRED])
worlds_drawn = st.lists(st.builds(World, anything, top_ups, st.booleans()), min_size=5, max_size=9)
lives_drawn = st.lists(
    st.tuples(st.builds(World, anything | muddled, top_ups), steps_drawn), min_size=5, max_size=9
)


@settings(max_examples=75)
@given(worlds_drawn)
def test_crediting_what_lacks_by_balance_never_pays_more_than_is_owed(worlds: list[World]) -> None:
    """Whatever the truth behind a balance, and whatever part of the log was seen."""
    for each in chain.from_iterable(lacking(worlds, BALANCES)):
        each.corrected += 1

    assert [world for world in worlds if world.received() > world.owed()] == []


@settings(max_examples=75)
@given(lives=lives_drawn, logs=st.lists(st.sampled_from([BALANCES, BALANCES, LOG]), min_size=7, max_size=7))
def test_nor_when_corrections_come_one_at_a_time_and_logs_come_to_light(
    lives: list[tuple[World, list[Step]]], logs: list[Evidence]
) -> None:
    """Which purchase was corrected is a convention; a log found later does not make it be paid again."""
    for turn in range(max(len(steps) for _, steps in lives)):
        living = [(world, steps[turn]) for world, steps in lives if turn < len(steps)]
        found = lacking([world for world, _ in living], logs[turn])
        for (world, step), lacks in zip(living, found, strict=True):
            world.live(step, lacks)
            assert world.received() <= world.owed()
    worlds = [world for world, _ in lives]
    for each in chain.from_iterable(lacking(worlds, logs[-1])):
        each.corrected += 1
    for each in chain.from_iterable(world.bought for world in worlds):
        each.settle()

    assert [world for world in worlds if world.received() > world.owed()] == []


@settings(max_examples=45)
@given(worlds_drawn)
def test_a_complete_log_finds_exactly_what_lacks(worlds: list[World]) -> None:
    """By purchase, top-ups or not."""
    for world, lacks in zip(worlds, lacking(worlds, LOG), strict=True):
        truth = [each for each in world.bought if each.state == OWED and not each.young]
        truth = [each for each in truth if not each.minted + each.by_hand]

        assert [id(each) for each in lacks] == [id(each) for each in truth]


owed_only = st.lists(
    bought(equal, st.just(OWED)).map(lambda each: replace(each, young=False, by_hand=0)), max_size=12
)


@settings(max_examples=45)
@given(st.lists(st.builds(World, owed_only), min_size=5, max_size=9), st.booleans())
def test_balances_alone_find_how_many_lack(worlds: list[World], other_writers: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Where nothing else is in the balance the number is right, and a second look finds nothing more."""
    evidence = replace(BALANCES, other_writers=other_writers)
    for world, lacks in zip(worlds, lacking(worlds, evidence), strict=True):
        assert len(lacks) == sum(1 - each.minted for each in world.bought)
        for each in lacks:
            each.corrected += 1
        assert world.received() == world.owed()

    assert not any(lacking(worlds, evidence))


@settings(max_examples=30)
@given(worlds_drawn)
def test_nothing_is_credited_where_debits_are_possible(worlds: list[World]) -> None:
    """A spend looks like a missing credit."""
    assert not any(lacking(worlds, DEBITS))
    assert not any(lacking(worlds, replace(DEBITS, log_complete=True, log_as_of_us=NOW)))
