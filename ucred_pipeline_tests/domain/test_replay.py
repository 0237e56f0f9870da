"""A replay proves a log complete exactly when no credit of the present life is missing from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ucred_pipeline.domain.accounts import TREASURIES
from ucred_pipeline.domain.evidence import CreditLine
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.domain.replay import Replay, ReplayReason, replay
from ucred_pipeline.domain.state_root import GENESIS, UCRED, state_root

START = datetime(2026, 1, 21, 17, 46, tzinfo=UTC)
GENESIS_ROOT = state_root(GENESIS)
ALICE, BOB, CAROL = (f"acct:user:{name}@example.com" for name in ("alice", "bob", "carol"))


@dataclass
class Indexer:
    """What the indexer does to its state and its log."""

    balances: dict[tuple[str, str], int] = field(default_factory=lambda: dict(GENESIS))
    log: list[CreditLine] = field(default_factory=list)

    @property
    def root(self) -> str:
        """What `/audit` answers."""
        return state_root(self.balances)

    @property
    def now(self) -> datetime:
        """A moment later than every line."""
        return START + timedelta(seconds=len(self.log))

    def credit(self, account: str, amount: int = WEI_PER_UCRED, asset: str = UCRED) -> CreditLine:
        """Credit an account and write the line."""
        key = (asset.upper(), account)
        self.balances[key] = self.balances.get(key, 0) + amount
        memo = f"purchase:{len(self.log)}.x"
        raw = f"line {len(self.log)}"
        self.log.append(
            CreditLine(self.now, asset, account, amount, memo, self.balances[key], self.root, raw)
        )
        return self.log[-1]

    def restart(self) -> None:
        """Forget everything but genesis."""
        self.balances = dict(GENESIS)

    def replayed(self) -> Replay:
        """Replay the whole log against the present state."""
        return replay(self.log, self.root, audited=self.now)


@pytest.fixture
def indexer() -> Indexer:
    """An indexer after its first start."""
    return Indexer()


Step = Callable[[Indexer, int], object]


def credit(account: str, asset: str, indexer: Indexer, number: int) -> None:
    """Credit an amount that no other credit has, so that no other credits can stand in for it."""
    indexer.credit(account, 2**number, asset)


steps = st.lists(
    st.builds(
        partial,
        st.just(credit),
        st.sampled_from([ALICE, BOB, CAROL, *TREASURIES]),
        st.sampled_from(["UCRED", "ucred", "GOLD"]),
    )
    | st.just(lambda indexer, _: indexer.restart()),
    max_size=25,
)


def lived(history: Sequence[Step]) -> tuple[Indexer, list[CreditLine]]:
    """Let an indexer live through a history; give it and the lines of its last life."""
    indexer = Indexer()
    start = 0
    for number, step in enumerate(history):
        before = len(indexer.log)
        step(indexer, number)
        start = start if len(indexer.log) > before else before
    return indexer, indexer.log[start:]


@settings(deadline=None)
@given(steps)
def test_a_whole_log_is_complete(history: Sequence[Step]) -> None:
    """Whatever was credited and however often the indexer restarted, a log without gaps is proved."""
    indexer, last_life = lived(history)

    told = indexer.replayed()

    assert told.complete
    assert [line for line in last_life if line.asset.upper() == UCRED] == list(told.lines)
    assert len(told.lines) == told.proved
    assert {
        account: wei for (asset, account), wei in indexer.balances.items() if asset == UCRED
    } == told.balances
    assert len(indexer.log) >= len(told.lines) + len(told.earlier)


@settings(deadline=None)
@given(steps, st.data())
def test_a_log_that_lacks_a_line_of_the_last_life_is_not_complete(
    history: Sequence[Step], data: st.DataObject
) -> None:
    """Whichever credit of the present state is lost from the log, the replay notices."""
    indexer, last_life = lived(history)
    assume(last_life)
    lost = data.draw(st.sampled_from(last_life))
    kept = [line for line in indexer.log if line is not lost]

    assert not replay(kept, indexer.root, audited=indexer.now).complete


@settings(deadline=None)
@given(steps, st.data())
def test_lines_lost_from_earlier_lives_do_not_matter(history: Sequence[Step], data: st.DataObject) -> None:
    """A life that begins within the log is proved by itself, whatever came before it."""
    indexer, last_life = lived(history)
    assume(last_life)
    earlier = indexer.log[: len(indexer.log) - len(last_life)]
    kept = [line for line in earlier if data.draw(st.booleans())]

    told = replay([*kept, *last_life], indexer.root, audited=indexer.now)

    assert told.complete
    assert [line for line in last_life if line.asset.upper() == UCRED] == list(told.lines)


def test_no_line_and_genesis_is_complete() -> None:
    """An indexer that has credited nothing has an empty log."""
    told = replay([], GENESIS_ROOT)

    assert (told.reason, told.lines, told.proved, told.proved_until) == (ReplayReason.COMPLETE, (), 0, None)
    assert dict.fromkeys(TREASURIES, 1000 * WEI_PER_UCRED) == told.balances


def test_no_line_and_some_state_is_empty(indexer: Indexer) -> None:
    """A log without credits cannot speak for a state that has some."""
    indexer.credit(ALICE)

    assert ReplayReason.EMPTY is replay([], indexer.root).reason


def test_the_last_proved_line_dates_the_proof(indexer: Indexer) -> None:
    """What is proved is proved up to the line that led to the audited root."""
    indexer.credit(ALICE)
    last = indexer.credit(BOB)

    assert last.at == indexer.replayed().proved_until


def test_a_restart_without_a_credit_since_leaves_nothing_as_evidence(indexer: Indexer) -> None:
    """At genesis every credit that the log tells of is gone, and that is certain."""
    line = indexer.credit(ALICE)
    indexer.restart()

    for told in (indexer.replayed(), replay(indexer.log, indexer.root)):
        assert told.complete
        assert told.lines == ()
        assert (line,) == told.earlier
        assert ALICE not in told.balances
        assert told.lives == 2


def test_lines_after_an_audit_of_genesis_are_of_the_present_life(indexer: Indexer) -> None:
    """The first credits of a life may come between the audit and the read of the log."""
    audited, root = indexer.now, indexer.root
    line = indexer.credit(ALICE)

    told = replay(indexer.log, root, audited=audited)

    assert told.complete
    assert ((line,), 0) == (told.lines, told.proved)


def test_lives_are_told_apart_by_the_root_alone(indexer: Indexer) -> None:
    """A first credit that would also continue the old life starts a new one when its root says so."""
    indexer.credit(ALICE)
    indexer.restart()
    bobs = indexer.credit(BOB)

    told = indexer.replayed()

    assert told.complete
    assert (bobs,) == told.lines
    assert told.lives == 2
    assert 1000 * len(TREASURIES) * WEI_PER_UCRED + WEI_PER_UCRED == sum(told.balances.values())


def test_a_log_that_goes_on_past_the_audit_is_complete_up_to_it(indexer: Indexer) -> None:
    """Credits that came while we read do not undo the proof, and are evidence all the same."""
    first = indexer.credit(ALICE)
    audited, root = indexer.now, indexer.root
    second = indexer.credit(ALICE)

    told = replay(indexer.log, root, audited=audited)

    assert told.complete
    assert ((first, second), 1, first.at) == (told.lines, told.proved, told.proved_until)
    assert told.balances[ALICE] == 2 * WEI_PER_UCRED


def test_a_restored_checkpoint_is_noticed_by_its_time(indexer: Indexer) -> None:
    """Lines from before the audit that its root does not have were undone, and are no evidence."""
    indexer.credit(ALICE)
    checkpoint = dict(indexer.balances)
    indexer.credit(BOB)
    indexer.balances = checkpoint

    told = indexer.replayed()

    assert ReplayReason.RESTORED_OR_RESET is told.reason
    assert ((), tuple(indexer.log)) == (told.lines, told.earlier)
    assert told.balances[ALICE] == WEI_PER_UCRED
    assert BOB not in told.balances


def test_the_state_of_an_earlier_life_is_noticed(indexer: Indexer) -> None:
    """When an old state is back, the log's last life is not the one that the indexer is in."""
    indexer.credit(ALICE)
    checkpoint = dict(indexer.balances)
    indexer.restart()
    indexer.credit(BOB)
    indexer.balances = checkpoint

    told = indexer.replayed()

    assert ReplayReason.RESTORED_OR_RESET is told.reason
    assert told.lines == ()


def test_a_balance_that_fell_shows_another_life(indexer: Indexer) -> None:
    """Within a life balances only rise: what came before a fall is no evidence of the present state."""
    indexer.credit(ALICE, 5)
    indexer.restart()
    indexer.credit(BOB, 1)
    fallen = indexer.credit(ALICE, 2)
    del indexer.log[1]

    told = indexer.replayed()

    assert ReplayReason.RESTORED_OR_RESET is told.reason
    assert (fallen,) == told.lines
    assert told.balances[ALICE] == 2


def test_a_gap_takes_over_the_balance_but_stays_a_gap(indexer: Indexer) -> None:
    """A later line tells the balance, and yet the credit that it does not name is missing."""
    first = indexer.credit(ALICE, 5)
    indexer.credit(ALICE, 6)
    last = indexer.credit(ALICE, 7)
    del indexer.log[1]

    told = indexer.replayed()

    assert ReplayReason.GAP is told.reason
    assert (first, last) == told.lines
    assert told.balances[ALICE] == 18


def test_a_gap_in_another_account_is_seen_by_the_root(indexer: Indexer) -> None:
    """A log whose arithmetic fits, but not its roots, has a gap."""
    indexer.credit(ALICE)
    indexer.credit(BOB)
    indexer.credit(CAROL)
    del indexer.log[1]

    assert ReplayReason.GAP is indexer.replayed().reason


def test_a_log_that_ends_before_the_audit_is_behind(indexer: Indexer) -> None:
    """A log that is sound to its end, but not at the audited root, lacks what came since."""
    line = indexer.credit(ALICE)
    indexer.credit(BOB)
    del indexer.log[1]

    told = indexer.replayed()

    assert ReplayReason.BEHIND_AUDIT is told.reason
    assert (line,) == told.lines


def test_other_assets_take_part_in_the_root_but_are_no_evidence(indexer: Indexer) -> None:
    """Only UCRED is evidence, in whatever case it was written."""
    indexer.credit(ALICE, asset="GOLD")
    line = indexer.credit(ALICE, asset="ucred")

    told = indexer.replayed()

    assert told.complete
    assert ((line,), 1) == (told.lines, told.proved)
    assert told.balances[ALICE] == WEI_PER_UCRED


def test_equal_credits_of_two_lives_can_stand_in_for_each_other(indexer: Indexer) -> None:
    """The documented limit: a root does not tell which life's credit it was."""
    indexer.credit(ALICE)
    indexer.restart()
    indexer.credit(ALICE)
    indexer.credit(BOB)
    del indexer.log[1]

    assert indexer.replayed().complete


def ambiguous(line: CreditLine, *others: CreditLine) -> CreditLine:
    """Give a line other readings."""
    return replace(line, alternatives=others)


def wrong(line: CreditLine) -> CreditLine:
    """Misread a line so that its arithmetic fits as well."""
    return replace(line, account=f"{line.account} amount_wei=1 memo=x")


@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_the_reading_whose_root_fits_is_preferred(indexer: Indexer, earlier: int) -> None:
    """A hostile address does not hide a credit: the root says which reading is right."""
    for _ in range(earlier):
        indexer.credit(BOB)
    line = indexer.credit(ALICE)
    indexer.credit(BOB)
    told = replay(
        [ambiguous(wrong(line), line) if each is line else each for each in indexer.log], indexer.root
    )

    assert told.complete
    assert tuple(indexer.log) == told.lines


def test_the_reading_whose_arithmetic_fits_is_preferred(indexer: Indexer) -> None:
    """An account that already holds something needs no root to tell the readings apart."""
    indexer.credit(ALICE)
    line = indexer.credit(ALICE)

    told = replay([indexer.log[0], ambiguous(wrong(line), line)], indexer.root)

    assert told.complete
    assert tuple(indexer.log) == told.lines


def test_a_reading_that_nothing_proves_keeps_its_alternatives(indexer: Indexer) -> None:
    """Where the log has a gap, whoever reads a line still sees what else it may say."""
    indexer.credit(BOB)
    line = indexer.credit(ALICE)

    told = replay([ambiguous(wrong(line), line)], indexer.root)

    assert ReplayReason.GAP is told.reason
    assert (ambiguous(wrong(line), line),) == told.lines


def test_no_reading_that_fits_is_a_gap_unless_all_of_them_fell(indexer: Indexer) -> None:
    """A line does not end a life as long as one of its readings could belong to it."""
    indexer.credit(ALICE, 5)
    indexer.credit(ALICE, 1)
    line = indexer.credit(ALICE, 2)
    fallen = replace(line, amount_wei=7)
    first = indexer.log[0]

    told = replay([first, ambiguous(fallen, line)], indexer.root)

    assert ReplayReason.GAP is told.reason
    assert (first, ambiguous(line, fallen)) == told.lines
