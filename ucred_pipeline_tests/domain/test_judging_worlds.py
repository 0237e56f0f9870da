"""Worlds whose truth is known: what the judge calls lacking can be credited without ever paying too much."""

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline_tests.domain.judging_cases import GRACE, HOUR, NOW, UCRED, account, judged, purchase

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

    def row(self, name: str, *, log: bool) -> dict[str, Any]:
        """Show it as the sources do."""
        created = NOW - (GRACE // 2 if self.young else 9 * HOUR)
        return purchase(
            name,
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


@dataclass
class World:
    """One account's purchases, and what others put there."""

    bought: list[Bought]
    top_up: int = 0
    top_up_seen: bool = False
    evidence: Evidence = field(default_factory=lambda: Evidence(NOW, GRACE))

    @property
    def balance(self) -> int:
        """What the indexer truly holds."""
        return self.top_up + sum(each.wei * each.arrived for each in self.bought)

    def lacking(self, *, log: bool) -> list[Bought]:
        """Judge what can be seen, and give what is called lacking."""
        rows = [each.row(f"pi_{place}", log=log) for place, each in enumerate(self.bought)]
        seen = self.top_up if log or self.top_up_seen else 0
        evidence = replace(self.evidence, log_complete=log, log_as_of_us=NOW)
        found = judged(rows, evidence, [account(self.balance, known_other_wei=seen)])
        pairs = zip(self.bought, found, strict=True)
        return [each for each, (verdict, _, _) in pairs if verdict == "lacking"]

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
steps_drawn = st.lists(st.tuples(st.sampled_from([0, 0, 1, 2, 6]), st.booleans(), fates), max_size=6)
top_ups = st.sampled_from([0, 0, 1, UCRED // 2, UCRED, 3 * UCRED])


@settings(max_examples=500, deadline=None)
@given(purchases=anything, top_up=top_ups, top_up_seen=st.booleans())
def test_crediting_what_lacks_by_balance_never_pays_more_than_is_owed(
    purchases: list[Bought], top_up: int, *, top_up_seen: bool
) -> None:
    """Whatever the truth behind a balance, and whatever part of the log was seen."""
    world = World(purchases, top_up, top_up_seen)
    for each in world.lacking(log=False):
        each.corrected += 1

    assert world.received() <= world.owed()


@settings(max_examples=500, deadline=None)
@given(purchases=anything, top_up=top_ups, steps=steps_drawn, log_appears=st.booleans())
def test_nor_when_corrections_come_one_at_a_time_and_logs_come_to_light(
    purchases: list[Bought], top_up: int, steps: list[tuple[int, bool, str]], *, log_appears: bool
) -> None:
    """Which purchase was corrected is a convention; a log found later does not make it be paid again."""
    world = World(purchases, top_up)
    for place, settles, fate in steps:
        for each in world.lacking(log=False)[place:][:1]:
            each.corrected += fate == CONFIRMED
            each.doubt = None if fate == CONFIRMED else fate
        for each in world.bought[: place + 1]:
            each.seen = each.seen or settles
            each.young = each.young and not settles
        for each in world.bought if settles else []:
            each.settle()
        assert world.received() <= world.owed()
    for each in world.lacking(log=log_appears):
        each.corrected += 1
    for each in world.bought:
        each.settle()

    assert world.received() <= world.owed()


@settings(max_examples=300, deadline=None)
@given(anything, top_ups)
def test_a_complete_log_finds_exactly_what_lacks(purchases: list[Bought], top_up: int) -> None:
    """By purchase, top-ups or not."""
    world = World(purchases, top_up)
    truth = [each for each in purchases if each.state == OWED and not each.young]
    truth = [each for each in truth if not each.minted + each.by_hand]

    assert [id(each) for each in world.lacking(log=True)] == [id(each) for each in truth]


owed_only = st.lists(
    bought(equal, st.just(OWED)).map(lambda each: replace(each, young=False, by_hand=0)), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(purchases=owed_only, other_writers=st.booleans())
def test_balances_alone_find_how_many_lack(purchases: list[Bought], *, other_writers: bool) -> None:
    """Where nothing else is in the balance the number is right, and a second look finds nothing more."""
    world = World(purchases, evidence=Evidence(NOW, GRACE, other_writers=other_writers))
    lacking = world.lacking(log=False)

    assert len(lacking) == sum(1 - each.minted for each in purchases)
    for each in lacking:
        each.corrected += 1
    assert world.lacking(log=False) == []
    assert world.received() == world.owed()


@settings(max_examples=200, deadline=None)
@given(anything, top_ups)
def test_nothing_is_credited_where_debits_are_possible(purchases: list[Bought], top_up: int) -> None:
    """A spend looks like a missing credit."""
    world = World(purchases, top_up, evidence=Evidence(NOW, GRACE, debits_possible=True))

    assert world.lacking(log=False) == []
    assert world.lacking(log=True) == []
