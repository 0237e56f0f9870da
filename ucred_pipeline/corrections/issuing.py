"""Issues corrections: each is claimed, looked at again, written down as sending, and sent once.

Accounts go in parallel, corrections of one account one after the other. Whatever happens between
two steps, the ledger says less than was done or as much, never more than was sent: what it calls
`sending` may have had an effect, and what it does not call so had none.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from secrets import token_hex
from typing import Final, TypeVar

from ucred_pipeline.corrections.indexer import (
    IndexerConnection,
    IndexerDoor,
    IndexerUnreachable,
    NeverLeft,
    NoReply,
    Sight,
    idempotency_key,
)
from ucred_pipeline.corrections.preflight import Gate, Gates, Refused, check_token
from ucred_pipeline.domain.answers import (
    NEVER_SENT,
    NO_ANSWER,
    STOPS_THE_RUN,
    Answer,
    AnswerKind,
    Effect,
    Trust,
    read_answer,
)
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.corrections import Attempt, Correction, CorrectionState, Credit, epoch_anchor
from ucred_pipeline.ledger.anchors import Anchor, acknowledged, anchors
from ucred_pipeline.ledger.corrections import Ceiling, CorrectionBook, NotNow, Request
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.group_commit import GroupCommit
from ucred_pipeline.ledger.purchases import account_is_quiet, is_past_grace, judged_balance
from ucred_pipeline.ledger.safety import (
    HoldKind,
    Signed,
    current_epoch,
    forget_refused_token,
    open_breaker,
    raise_hold,
    read_breaker,
)

T = TypeVar("T")

#: Reasons for which nothing more can be sent in this run, whoever's turn it is.
_ENDS_THE_RUN: Final = frozenset(
    {"held", "over_corrections_per_run", "over_ucred_per_run", "over_ucred_per_day"}
)

_SEE_STATUS: Final = "see `ucred status`"

#: So many accounts are asked before each credit whether the indexer remembers: one alone may hold what it
#: held by a credit that came after a restart. Where customers spend, more.
_ANCHORS: Final = 2
_MOST_ANCHORS: Final = 5
#: After so many the back-off is at its longest, whatever it is.
_MOST_DOUBLINGS: Final = 20


@dataclass(frozen=True, slots=True)
class IssuingRules:
    """How corrections are sent; the longest time for which a request may still act is `quiescence`.

    After `attempts` that failed a correction is refused, and a person is asked.
    """

    gates: Gates
    early_429: bool
    send_deadline: timedelta
    quiescence: timedelta
    parallel_accounts: int
    ceiling: Ceiling
    backoff: timedelta
    backoff_longest: timedelta
    attempts: int
    breaker_doubts: int
    breaker_openings: int
    grace: timedelta
    pace_s: float


@dataclass(slots=True)
class Issued:
    """What a run's sending came to; `stopped` says why it ended early."""

    confirmed: int = 0
    refused: int = 0
    in_doubt: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)
    stopped: str | None = None
    advice: str = ""


class Issuer:
    """Sends the corrections of one run."""

    def __init__(
        self, ledger: Ledger, book: CorrectionBook, door: IndexerDoor, clock: Clock, rules: IssuingRules
    ) -> None:
        self._ledger = ledger
        self._book = book
        self._door = door
        self._clock = clock
        self._rules = rules
        self._commits = GroupCommit(ledger)
        self._issued = Issued()
        self._pace = asyncio.Lock()
        self._broken = False
        self._judged: dict[str, int | None] = {}
        self._remembered: list[Anchor] = []

    async def issue(
        self,
        corrections: Sequence[Correction],
        approved: frozenset[str] = frozenset(),
        progress: Callable[[], None] = lambda: None,
    ) -> Issued:
        """Send corrections; those of an `approved` plan are under no limit."""
        try:
            await self._preflight()
            await self._anchor_epoch()
        except Refused as refused:
            self._refuse(refused)
        except IndexerUnreachable as error:
            self._stop(Gate.INDEXER_UNREACHABLE, str(error))
        except NotNow as refusal:
            self._stop(refusal.reason, _SEE_STATUS)
        if self._issued.stopped is not None:
            self._issued.not_sent[self._issued.stopped] += len(corrections)
            return self._issued
        self._remember_what_was_judged(corrections)
        self._spare_what_is_credited(corrections)
        turns = asyncio.Semaphore(self._parallel())
        ordered = sorted(corrections, key=lambda found: (found.account, found.created))
        async with asyncio.TaskGroup() as tasks:
            for _, of_account in groupby(ordered, key=lambda found: found.account):
                tasks.create_task(self._account(list(of_account), approved, turns, progress))
        return self._issued

    async def _write(self, work: Callable[[CorrectionBook], T]) -> T:
        """Write into the book; what comes back is on disk, together with what others wrote meanwhile."""
        return await self._commits.write(lambda writes: work(self._book.within(writes)))

    def _parallel(self) -> int:
        with self._ledger.read() as connection:
            return 1 if read_breaker(connection).one_at_a_time else self._rules.parallel_accounts

    def _remember_what_was_judged(self, corrections: Iterable[Correction]) -> None:
        """Keep the balances on which the verdicts stand; another run may mirror newer ones meanwhile."""
        with self._ledger.read() as connection:
            accounts = {found.account for found in corrections}
            self._judged = {account: judged_balance(connection, account) for account in accounts}

    def _spare_what_is_credited(self, corrections: Iterable[Correction]) -> None:
        """Ask first about accounts that this run does not credit: a credit could hide a restart there."""
        accounts = {found.account for found in corrections}
        self._remembered.sort(key=lambda anchor: anchor.account in accounts)

    def _remember(self, anchor: Anchor) -> None:
        """Keep the most that an account was told to hold; one of our own comes first."""
        for place, known in enumerate(self._remembered):
            if known.account == anchor.account:
                self._remembered[place] = max(known, anchor, key=lambda told: told.wei)
                return
        self._remembered.insert(0 if anchor.is_ours else len(self._remembered), anchor)

    async def _preflight(self) -> None:
        with self._ledger.read() as connection:
            self._remembered = anchors(connection)
        async with self._door.open() as indexer:
            self._rules.gates.check_sight(await indexer.look())
            await self._rules.gates.check_memory(indexer, self._remembered)
            await check_token(indexer)
        with self._ledger.write() as connection:
            forget_refused_token(connection)

    async def _anchor_epoch(self) -> None:
        """Leave, before anything else of an epoch, a credit by which its state is known again.

        One that is not acknowledged is left alone: whether it took effect or not, it is never used.
        """
        if not self._book.needs_anchor():
            return
        with self._ledger.read() as connection:
            anchor = epoch_anchor(current_epoch(connection), token_hex(8))
        async with self._door.open() as indexer:
            self._rules.gates.check_sight(await indexer.look())
            await self._write(lambda book: book.begin_anchor(anchor))
            answer = await self._post(indexer, anchor, anchor.account, anchor.amount)
        if answer.new_balance != anchor.amount:
            raise Refused(
                Gate.ANCHOR_MISSING,
                "the epoch's anchor was not acknowledged, so nothing is sent; the next run tries another",
            )
        await self._write(lambda book: book.acknowledge_anchor(anchor))

    async def _account(
        self,
        corrections: Iterable[Correction],
        approved: frozenset[str],
        turns: asyncio.Semaphore,
        progress: Callable[[], None],
    ) -> None:
        async with turns:
            for correction in corrections:
                if self._issued.stopped is None:
                    await self._wait_for_pace()
                if self._issued.stopped is None:
                    ceiling = None if correction.plan in approved else self._rules.ceiling
                    await self._one(correction, ceiling)
                else:
                    self._issued.not_sent[self._issued.stopped] += 1
                progress()

    async def _one(self, correction: Correction, ceiling: Ceiling | None) -> None:
        try:
            claimed = await self._write(lambda book: book.claim(correction.id))
        except NotNow as refusal:
            self._not_sent(refusal.reason)
            return
        try:
            async with self._door.open() as indexer:
                request = await self._look_again(indexer, claimed)
                await self._send(indexer, claimed, request, ceiling)
        except NotNow as refusal:
            await self._let_go(claimed, refusal.reason)
        except IndexerUnreachable as error:
            await self._let_go(claimed, Gate.INDEXER_UNREACHABLE)
            self._stop(Gate.INDEXER_UNREACHABLE, str(error))
        except Refused as refused:
            await self._let_go(claimed, refused.gate)
            self._refuse(refused)

    async def _look_again(self, indexer: IndexerConnection, claimed: Correction) -> Request:
        """Read, after the claim and on the connection that will send, what the request stands on."""
        looked = self._clock.monotonic()
        sight = await indexer.look()
        self._rules.gates.check_sight(sight)
        past_grace = self._agreed_now(sight, looked) - self._rules.grace
        balance = await indexer.balance(claimed.account)
        if balance != self._judged[claimed.account]:
            raise NotNow("evidence_changed")
        with self._ledger.read() as connection:
            if not is_past_grace(connection, claimed.payment_intent, past_grace):
                raise NotNow("within_grace")
            quiet = account_is_quiet(connection, claimed.account, past_grace)
            for anchor in acknowledged(connection):  # by whomever: another may send where a lock was lost
                self._remember(anchor)
        others = [anchor for anchor in self._remembered if anchor.account != claimed.account]
        remembered = others[: _MOST_ANCHORS if self._rules.gates.debits_possible else _ANCHORS]
        await self._rules.gates.check_memory(indexer, remembered)  # last: a restart before it shows
        began = self._agreed_now(sight, looked)
        deadline = began + self._rules.send_deadline
        witness = remembered[0] if remembered else None
        return Request(
            build=str(sight.build),
            balance_before=balance,
            root_before=sight.root,
            account_quiet=quiet,
            witness=witness.account if witness else None,
            witness_wei=witness.wei if witness else None,
            began=began,
            deadline=deadline,
            settles_after=deadline + self._rules.quiescence,
        )

    def _agreed_now(self, sight: Sight, looked: float) -> datetime:
        """Tell the time by the wall clock that agreed with the indexer's; it may have stepped since."""
        return sight.began + timedelta(seconds=self._clock.monotonic() - looked)

    async def _send(
        self, indexer: IndexerConnection, claimed: Correction, request: Request, ceiling: Ceiling | None
    ) -> None:
        if self._issued.stopped is not None:
            raise NotNow(self._issued.stopped)
        began = self._clock.monotonic()
        attempt = await self._write(lambda book: book.begin_sending(claimed, request, ceiling))
        answer = await self._ask(indexer, claimed, attempt, began)
        taken = timedelta(seconds=self._clock.monotonic() - began)
        last = claimed.failures + 1 >= self._rules.attempts
        due = None if last else self._due(claimed, answer)
        doubts = await self._write(lambda book: book.conclude(attempt, answer, taken, due, last=last))
        if answer.new_balance is not None:
            self._judged[claimed.account] = answer.new_balance
        self._count(answer, doubts)

    async def _wait_for_pace(self) -> None:
        if self._rules.pace_s:
            async with self._pace:
                await asyncio.sleep(self._rules.pace_s)

    async def _ask(
        self, indexer: IndexerConnection, claimed: Correction, attempt: Attempt, began: float
    ) -> Answer:
        """Send, unless this process was held up for so long that others may think it dead."""
        held_up = self._clock.monotonic() - began > self._rules.send_deadline.total_seconds()
        if held_up or self._clock.now() > attempt.deadline:
            return NEVER_SENT
        key = idempotency_key(claimed.payment_intent, claimed.kind)
        return await self._post(indexer, attempt, key, self._least_after(attempt))

    def _least_after(self, attempt: Attempt) -> int:
        """What its account holds at least once it has taken effect, unless the indexer forgot meanwhile."""
        kept = 0 if self._rules.gates.debits_possible else attempt.balance_before
        return kept + attempt.amount

    async def _post(self, indexer: IndexerConnection, credit: Credit, key: str, least: int) -> Answer:
        """Send one credit, once, and read what its answer proves; it leaves `least` wei on its account."""
        try:
            reply = await indexer.credit(credit, key)
        except NeverLeft:
            return NEVER_SENT
        except NoReply:
            return NO_ANSWER
        trust = Trust(reviewed_build=True, early_429=self._rules.early_429)
        return read_answer(reply.status, reply.body, least, trust)

    def _due(self, claimed: Correction, answer: Answer) -> datetime | None:
        """When a correction that had no effect may go again: later each time, and never in step."""
        if answer.effect is not Effect.NOT_APPLIED:
            return None
        longest = min(
            self._rules.backoff * 2 ** min(claimed.failures, _MOST_DOUBLINGS), self._rules.backoff_longest
        )
        wait: timedelta = longest * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        return self._clock.now() + wait

    def _count(self, answer: Answer, doubts_in_a_row: int) -> None:
        if answer.effect is Effect.APPLIED:
            self._issued.confirmed += 1
        elif answer.effect is Effect.IN_DOUBT:
            self._issued.in_doubt += 1
        else:
            self._issued.refused += 1
        if answer.kind in STOPS_THE_RUN:
            self._break(answer.kind)
        elif doubts_in_a_row >= self._rules.breaker_doubts:
            self._break(AnswerKind.NO_ANSWER)

    def _break(self, kind: AnswerKind) -> None:
        """Open the breaker, once: this run sends nothing more."""
        if self._broken:
            return
        self._broken = True
        refused = kind is AnswerKind.TOKEN_REFUSED
        advice = _ADVICE.get(kind, "the indexer refuses; see docs/runbook.md, The breaker")
        with self._ledger.write() as connection:
            signed = Signed("pipeline", self._clock.now(), f"{kind}: {advice}")
            open_breaker(connection, self._rules.breaker_openings, signed, token_refused=refused)
        self._stop(Gate.TOKEN_REFUSED if refused else f"breaker_{kind}", advice)

    def _refuse(self, refused: Refused) -> None:
        if refused.gate is Gate.INDEXER_FORGOT:
            with self._ledger.write() as connection:
                signed = Signed("pipeline", self._clock.now(), refused.advice)
                raise_hold(connection, HoldKind.INDEXER_FORGOT, signed)
        if refused.gate is Gate.TOKEN_REFUSED:
            self._break(AnswerKind.TOKEN_REFUSED)
        self._stop(refused.gate, refused.advice)

    def _stop(self, reason: str, advice: str) -> None:
        if self._issued.stopped is None:
            self._issued.stopped, self._issued.advice = str(reason), advice

    def _not_sent(self, reason: str) -> None:
        self._issued.not_sent[reason] += 1
        if reason in _ENDS_THE_RUN:
            self._stop(reason, _SEE_STATUS)

    async def _let_go(self, claimed: Correction, reason: str) -> None:
        with suppress(NotNow):
            await self._write(lambda book: book.let_go(claimed, CorrectionState.PLANNED, str(reason)))
        self._not_sent(str(reason))


_ADVICE: Final = {
    AnswerKind.TOKEN_REFUSED: "the indexer refuses RUST_L1_ADMIN_TOKEN; set the right one",
    AnswerKind.TOO_MANY_REQUESTS: "the indexer asks to slow down; set indexer.credits_per_minute",
    AnswerKind.NO_ANSWER: "several credits in a row had no clear answer; see docs/runbook.md, The breaker",
}
