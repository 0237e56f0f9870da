"""Replays the indexer's log, and proves by the state root whether a credit is missing from it.

The indexer keeps its state in memory: each start is a new *life* that begins at genesis, and within
one life balances only rise, because nothing debits. So when the balances that the lines add up to
reproduce the root that `/audit` gave, no credit is missing between genesis and that root.

Roots commit to balances, not to memos or lives. Where a restart fell into a gap, credits of the life
before it may stand in for lost ones of the same account and amount. So whoever concludes from the
absence of a line must also find one of its own in the life that was proved.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain

from ucred_pipeline.domain.evidence import CreditLine
from ucred_pipeline.domain.state_root import GENESIS, UCRED, Balances, state_root


class ReplayReason(StrEnum):
    """Why a log is, or is not, complete for the life that was audited."""

    COMPLETE = "complete"
    EMPTY = "empty"  # the log has no credit, the state has some
    GAP = "gap"  # credits of this life are missing before the last line
    BEHIND_AUDIT = "behind_audit"  # sound up to its last line, but the state has moved on
    RESTORED_OR_RESET = "restored_or_reset"  # balances went back without a start that the log shows


@dataclass(frozen=True, slots=True)
class Replay:
    """What a log shows of UCRED, and how far the audited root proves it.

    `lines` are the credits of the life that the indexer is in, evidence also where the log is not
    complete. `proved` of them, from the first, led to the audited root, the last one at
    `proved_until`; what follows came after the audit. `earlier` are the credits of states that are
    gone, and no evidence of the present one. `balances` are those after `lines`, by account; where
    the log has a gap, as far as it tells. A line that nothing proves keeps its alternatives.
    """

    reason: ReplayReason
    lines: tuple[CreditLine, ...]
    earlier: tuple[CreditLine, ...]
    proved: int
    proved_until: datetime | None
    balances: Mapping[str, int]
    lives: int

    @property
    def complete(self) -> bool:
        """Whether every credit up to the audit is among the lines."""
        return self.reason is ReplayReason.COMPLETE


def replay(
    lines: Iterable[CreditLine],
    audit_root: str,
    genesis: Balances = GENESIS,
    *,
    audited: datetime | None = None,
) -> Replay:
    """Replay the credits in the order of the log, against the root of a read of `/audit`.

    `audited` is when that read began, by the indexer's clock: a line that is older and yet not in
    the root shows that the state went back. Without it such lines are taken for later ones.
    """
    story = _Story(genesis)
    for line in lines:
        story.take(line)
    return _conclude(story, audit_root, audited)


@dataclass(slots=True)
class _Life:
    """One life, as the log tells it; its balances are exact as long as it has no gap."""

    balances: dict[tuple[str, str], int]
    gap: bool = False
    start_unseen: bool = False
    lines: list[CreditLine] = field(default_factory=list)

    def before(self, line: CreditLine) -> int:
        """The account's balance as it is known before a line."""
        return self.balances.get(_key(line), 0)

    def add(self, line: CreditLine) -> None:
        self.balances[_key(line)] = line.new_balance_wei
        self.lines.append(line)


class _Story:
    """The lives that a log tells of, one line after the other."""

    def __init__(self, genesis: Balances) -> None:
        self.genesis = genesis
        self.lives: list[_Life] = []

    def take(self, line: CreditLine) -> None:
        """Add a line to the life that it belongs to, in the reading that fits best."""
        readings = _readings(line)
        chosen = next(filter(self._starts_a_life, readings), None)
        if chosen is not None or not self.lives:
            self.lives.append(_Life(dict(self.genesis)))
        chosen = chosen or self._continued(readings) or self._contradicted(readings)
        self.lives[-1].add(chosen)

    def _starts_a_life(self, line: CreditLine) -> bool:
        """Whether a line's root is that of genesis and this credit alone."""
        balance = self.genesis.get(_key(line), 0) + line.amount_wei
        if balance != line.new_balance_wei:
            return False
        return state_root({**self.genesis, _key(line): balance}) == line.state_root

    def _continued(self, readings: Sequence[CreditLine]) -> CreditLine | None:
        """The reading that goes on from the balances that are known."""
        life = self.lives[-1]
        fitting = [line for line in readings if life.before(line) + line.amount_wei == line.new_balance_wei]
        if len(fitting) > 1:
            rooted = (line for line in fitting if _leads_to_its_root(life, line))
            return next(rooted, None) or _with_alternatives(fitting[0], readings)
        return _with_alternatives(fitting[0], readings) if fitting else None

    def _contradicted(self, readings: Sequence[CreditLine]) -> CreditLine:
        """Take over the balance of a line that does not fit: others are missing before it.

        A balance that should have been higher shows another life, or a state that was restored.
        """
        life = self.lives[-1]
        risen = (line for line in readings if line.new_balance_wei - line.amount_wei > life.before(line))
        line = next(risen, None)
        if line is None:
            self.lives.append(_Life(dict(self.genesis), gap=True, start_unseen=True))
            return _with_alternatives(readings[0], readings)
        life.gap = True
        return _with_alternatives(line, readings)


def _readings(line: CreditLine) -> tuple[CreditLine, ...]:
    """All readings of a line, the likeliest first."""
    if not line.alternatives:
        return (line,)
    return (replace(line, alternatives=()), *line.alternatives)


def _with_alternatives(chosen: CreditLine, readings: Sequence[CreditLine]) -> CreditLine:
    """Keep the readings that were not chosen, as long as nothing proves the choice."""
    if len(readings) == 1:
        return chosen
    return replace(chosen, alternatives=tuple(other for other in readings if other is not chosen))


def _leads_to_its_root(life: _Life, line: CreditLine) -> bool:
    return state_root({**life.balances, _key(line): line.new_balance_wei}) == line.state_root


def _key(line: CreditLine) -> tuple[str, str]:
    """Name a balance as the indexer does, which takes assets in capitals."""
    return line.asset.upper(), line.account


def _conclude(story: _Story, audit_root: str, audited: datetime | None) -> Replay:
    """Hold what the log tells against the audited root."""
    life = story.lives[-1] if story.lives else _Life(dict(story.genesis))
    reached = _reached(life, audit_root, story.genesis)
    if reached is None:
        return _unproved(story, life, audit_root)
    later = life.lines[reached:]
    went_back = audited is not None and any(line.at < audited for line in later)
    if reached == 0 and later and (went_back or audited is None):
        return _told(ReplayReason.COMPLETE, story, _Life(dict(story.genesis)))
    if went_back:
        return _told(
            ReplayReason.RESTORED_OR_RESET, story, _Life(_balances_after(life, reached, story.genesis))
        )
    return _told(ReplayReason.COMPLETE, story, life, reached)


def _reached(life: _Life, audit_root: str, genesis: Balances) -> int | None:
    """After how many lines of a life its balances have the audited root; None where they never do."""
    if audit_root == state_root(genesis):
        return 0
    if life.gap or not life.lines:
        return None
    total = len(life.lines)
    named = (count for count in range(total, 0, -1) if life.lines[count - 1].state_root == audit_root)
    count = next(named, total)
    return count if state_root(_balances_after(life, count, genesis)) == audit_root else None


def _balances_after(life: _Life, count: int, genesis: Balances) -> dict[tuple[str, str], int]:
    if count == len(life.lines):
        return life.balances
    return {**genesis, **{_key(line): line.new_balance_wei for line in life.lines[:count]}}


def _unproved(story: _Story, life: _Life, audit_root: str) -> Replay:
    """Say why the lines of the last life do not lead to the audited root."""
    if not story.lives:
        return _told(ReplayReason.EMPTY, story, life)
    if life.start_unseen:
        return _told(ReplayReason.RESTORED_OR_RESET, story, life)
    if any(line.state_root == audit_root for earlier in story.lives[:-1] for line in earlier.lines):
        return _told(ReplayReason.RESTORED_OR_RESET, story, _Life({}))
    sound = not life.gap and state_root(life.balances) == life.lines[-1].state_root
    return _told(ReplayReason.BEHIND_AUDIT if sound else ReplayReason.GAP, story, life)


def _told(reason: ReplayReason, story: _Story, present: _Life, reached: int = 0) -> Replay:
    """Put together what there is to say of UCRED, with the life that the indexer is in."""
    gone = [life for life in story.lives if life is not present]
    proved = [replace(line, alternatives=()) for line in _of_ucred(present.lines[:reached])]
    return Replay(
        reason=reason,
        lines=(*proved, *_of_ucred(present.lines[reached:])),
        earlier=tuple(_of_ucred(chain.from_iterable(life.lines for life in gone))),
        proved=len(proved),
        proved_until=present.lines[reached - 1].at if reached else None,
        balances={account: wei for (asset, account), wei in present.balances.items() if asset == UCRED},
        lives=len(gone) + 1,
    )


def _of_ucred(lines: Iterable[CreditLine]) -> Iterator[CreditLine]:
    return (line for line in lines if line.asset.upper() == UCRED)
