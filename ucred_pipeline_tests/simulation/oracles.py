"""What must be true of every schedule, at every step; each oracle knows the truth, which no process knows."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.domain.corrections import Attempt, CorrectionState
from ucred_pipeline.domain.memos import read_memo
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.ledger.verification import verify
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.simulation.engine import Engine
from ucred_pipeline_tests.simulation.memory import SimulatedLedger
from ucred_pipeline_tests.simulation.network import Post
from ucred_pipeline_tests.simulation.outside import BUILD, Credit, Outside, Purchase

_A_DAY_US: Final = 86_400_000_000


class Wrong(StrEnum):
    """What an oracle may find."""

    DOUBLE = "credited twice by us"
    CROSSED = "credited after another that we could have known"
    LOST = "lacking, and nobody is told"
    CLAIMED = "said to be credited and not"
    UNWRITTEN = "sent and not written down"
    ALONE = "sent while another may have had an effect"
    HELD = "sent under a hold"
    ALARM = "held for a restart that was none"
    LIMIT = "sent over a limit"
    FORGOT = "sent to an indexer that forgot"
    BUILD = "sent to a build that nobody reviewed"
    UNANCHORED = "sent before the epoch has an anchor"
    HISTORY = "a broken history"
    FAULT = "a fault of the engine"


class Oracles:
    """Watches a schedule; what it finds wrong is in `violations`."""

    def __init__(self, ledger: SimulatedLedger, outside: Outside, tell: Callable[[str], None]) -> None:
        self.violations: list[str] = []
        self.wrong: Counter[str] = Counter()
        self.crossed = 0
        self._ledger = ledger
        self._outside = outside
        self._tell = tell
        self._posts: dict[str, Post] = {}
        self._told_by_log: set[str] = set()
        self.is_restored = False
        self.known_life: Callable[[], int] = lambda: 0
        limits = outside.profile.rules.get("limits", {})
        self._daily = int(limits.get("ucred_per_day", 500)) * WEI_PER_UCRED
        self._of_run = int(limits.get("corrections_per_run", 100))
        self._by_purchase = outside.profile.tells_by_purchase

    def note(self, kind: Wrong, what: str) -> None:
        """Note something that must not be."""
        self._tell(f"WRONG {what}")
        self.violations.append(what)
        self.wrong[kind] += 1

    def posted(self, post: Post) -> None:
        """A request leaves: it must be written down, alone, under no hold, and within the limits."""
        credit = post.credit
        self._tell(f"post {credit.memo}")
        self._posts[credit.memo] = post
        if post.build != BUILD:
            self.note(Wrong.BUILD, f"{credit.memo} is sent to {post.build}, which nobody reviewed")
        if isinstance(credit, Attempt):
            self._check_attempt(post, credit)
        elif not self._query("SELECT 1 FROM epoch_anchors WHERE account = ?", (credit.account,)):
            self.note(Wrong.UNWRITTEN, f"{credit.memo} is sent and not written down")

    def _check_attempt(self, post: Post, attempt: Attempt) -> None:
        states = dict(
            self._query("SELECT number, state FROM attempts WHERE correction = ?", (attempt.correction,))
        )
        own = states.pop(attempt.number, None)
        if own is None:
            self.note(Wrong.UNWRITTEN, f"attempt {attempt.name} is sent and not written down")
        elif own not in {"sending", "in_doubt", "moot"}:
            self.note(Wrong.UNWRITTEN, f"attempt {attempt.name} is sent as {own}")
        for number, state in states.items():
            if state in {"sending", "in_doubt", "applied"}:
                self.note(Wrong.ALONE, f"attempt {attempt.name} is sent while attempt {number} is {state}")
        if self._by_purchase and self._is_judged_by_log(attempt):
            self._told_by_log.add(attempt.memo)
        self._refuse_posts_under_a_hold(attempt)
        self._refuse_posts_over_a_limit(attempt)
        if self._outside.profile.anchors and not self._is_anchored(attempt):
            self.note(Wrong.UNANCHORED, f"attempt {attempt.name} is sent before its epoch has an anchor")
        if self._forgot_before(post, attempt):
            self.note(Wrong.FORGOT, f"attempt {attempt.name} is sent to an indexer that forgot")

    def _is_judged_by_log(self, attempt: Attempt) -> bool:
        basis = (
            "SELECT 1 FROM purchases JOIN corrections USING (payment_intent) WHERE id = ? AND basis = 'log'"
        )
        return bool(self._query(basis, (attempt.correction,)))

    def _is_anchored(self, attempt: Attempt) -> bool:
        acknowledged = (
            "SELECT 1 FROM epoch_anchors a JOIN corrections c ON c.epoch = a.epoch "
            "WHERE c.id = ? AND a.acknowledged IS NOT NULL"
        )
        return bool(self._query(acknowledged, (attempt.correction,)))

    def credited(self, credit: Credit) -> None:
        """A credit took effect: never twice by us, and not by us after another that could be known."""
        self._tell(f"credit {credit.memo} {credit.amount}")
        if credit.namespace is None:
            return
        of_purchase = [found for found in self._outside.credits if found.namespace == credit.namespace]
        is_mint = credit.memo.startswith("purchase:")
        if is_mint and any(found.ours for found in of_purchase):
            self.note(Wrong.CROSSED, f"{credit.namespace} is credited by us before the payments API was done")
        if self._is_doubled([found for found in of_purchase if found.ours], self._had_by(credit)):
            self.note(Wrong.DOUBLE, f"{credit.namespace} is credited twice by us")
        if credit.ours:
            self._look_for_a_crossing(credit, of_purchase)

    def _look_for_a_crossing(self, ours: Credit, of_purchase: list[Credit]) -> None:
        """Whether one of ours came after another, of its purchase, or that leaves its account too many.

        Which purchase lacks is told by a log; where only the balance was judged, it is a convention.
        """
        if len(of_purchase) > 1 and ours.memo in self._told_by_log:
            self._judge_crossing(ours, of_purchase[0])
        elif too_many := self._too_many_on(self._had_by(ours)):
            self._judge_crossing(ours, too_many[0])

    def _is_doubled(self, ours: list[Credit], accounts: frozenset[str]) -> bool:
        """Whether a purchase has more than one credit of ours.

        Where only balances tell, one of a lost epoch that came late counts for the account; so does one that
        a restored copy of the ledger does not know, and whose correction it gives the same name again, and
        one that makes of a state after a restart the very state before it, in which it had not come.
        """
        corrections = {memo.correction for found in ours if (memo := read_memo(found.memo))}
        is_unknown = self.is_restored or self._is_unnoticed()
        is_one_state = self._by_purchase or (len(corrections) < len(ours) and not is_unknown)
        return len(ours) > 1 and (is_one_state or bool(self._too_many_on(accounts)))

    def _too_many_on(self, accounts: frozenset[str]) -> list[Credit]:
        """Count all of ours and the first of others: whose purchase a credit is for may be a convention.

        Give the credits of the accounts that are too many, and the one before them; a second one by others
        for the same purchase is theirs to answer for. Every purchase is owed one that was ever there, and has
        none elsewhere.
        """
        counted: list[Credit] = []
        for found in self._outside.credits:
            if found.account in accounts and found.namespace is not None:
                named = any(earlier.namespace == found.namespace for earlier in counted)
                counted += [found] if found.ours or not named else []
        purchases = self._outside.purchases.values()
        owed = sum(bool(self._outside.owed_by(found) & accounts) for found in purchases)
        return counted[owed - 1 :] if len(counted) > owed else []

    def _had_by(self, credit: Credit) -> frozenset[str]:
        """All accounts that a credit's purchase has had: its customer's, whatever the address."""
        of_purchase = [
            found.had for found in self._outside.purchases.values() if found.namespace == credit.namespace
        ]
        return frozenset({credit.account}).union(*of_purchase)

    def at_a_pause(self) -> None:
        """Nothing is claimed at any time that is not so, neither of a purchase nor of the indexer."""
        self._refuse_false_alarms()
        claimed = self._claims()
        for purchase in self._outside.purchases.values():
            credits_found = self._outside.credits_of(purchase)
            if claimed[purchase.payment_intent] and not any(found.ours for found in credits_found):
                self.note(Wrong.CLAIMED, f"{purchase.namespace} is said to be credited by us and is not")

    def at_the_end(self, engine: Engine) -> None:
        """Nothing is claimed that is not, nothing has vanished, and the history is whole."""
        self.at_a_pause()
        for purchase in self._outside.purchases.values():
            if self._by_purchase and not self._outside.credits_of(purchase) and not purchase.refunded:
                self._must_be_listed(purchase, engine)
        if not self._by_purchase:
            for account in {found.account for found in self._outside.purchases.values()}:
                self._must_be_listed_by_account(account)
        self._check_history()

    def _refuse_posts_under_a_hold(self, attempt: Attempt) -> None:
        began = to_micros(attempt.began)
        if self._query("SELECT 1 FROM holds WHERE released IS NULL AND raised < ?", (began,)):
            self.note(Wrong.HELD, f"attempt {attempt.name} is sent under a hold")

    def _refuse_false_alarms(self) -> None:
        """An indexer that nobody restarted did not forget: whoever believes it did credits all anew.

        Where customers spend it may look so, and a person must look; so it may from a restored ledger, and
        where a clock is wrong: what was read after an audit then counts as read before it.
        """
        clock_faults = {"clock_step", "clock_wrong"} & self._outside.fate.struck.keys()
        may_look_so = self._outside.profile.debits or self.is_restored or clock_faults
        if self._outside.restarted is None and not may_look_so:
            for (told,) in self._query("SELECT detail FROM holds WHERE kind = 'indexer_forgot'", ()):
                self.note(Wrong.ALARM, f"nobody restarted the indexer, and yet {told}")

    def _refuse_posts_over_a_limit(self, attempt: Attempt) -> None:
        """Nothing is sent over the limit of a day, but what a person approved."""
        plans = self._query(
            "SELECT p.approved FROM corrections c JOIN plans p ON p.hash = c.plan WHERE c.id = ?",
            (attempt.correction,),
        )
        if plans and plans[0][0] is not None:
            return
        live = "state IN ('sending', 'in_doubt', 'applied')"
        since = to_micros(attempt.began) - _A_DAY_US
        spent = self._query(f"SELECT amount FROM attempts WHERE {live} AND began > ?", (since,))
        if sum(int(row[0]) for row in spent) > self._daily:
            self.note(Wrong.LIMIT, f"attempt {attempt.name} is over the limit of a day")
        of_run = "run_id = (SELECT run_id FROM attempts WHERE correction = ? AND number = ?)"
        sent = self._query(
            f"SELECT DISTINCT correction FROM attempts WHERE {live} AND {of_run}",
            (attempt.correction, attempt.number),
        )
        if len(sent) > self._of_run:
            self.note(Wrong.LIMIT, f"attempt {attempt.name} is over the limit of a run")

    def _forgot_before(self, post: Post, attempt: Attempt) -> bool:
        """Whether the indexer had lost its state before we looked, and the ledger could know."""
        restarted = self._outside.restarted
        if restarted is None or restarted >= post.looked or self.known_life() == self._outside.life:
            return False
        return self._lost_receipts(attempt.account)

    def _lost_receipts(self, besides: str) -> bool:
        """Whether an account holds less than the ledger was told before the indexer lost its state."""
        restarted = self._outside.restarted or 0.0
        receipts = self._query(
            "SELECT a.account, a.new_balance, a.balance_before, a.amount FROM attempts a "
            "JOIN corrections c ON c.id = a.correction WHERE a.state = 'applied' AND a.account <> ? "
            "AND c.epoch = (SELECT max(number) FROM epochs) AND c.changed < ?",
            (besides, to_micros(NOON) + int(restarted * 1e6)),
        )
        held = self._outside.balances
        return any(held.get(row[0], 0) < int(row[1] or int(row[2]) + int(row[3])) for row in receipts)

    def _is_unnoticed(self) -> bool:
        """Whether a restart left everything as it was, by credits on their way: nobody could notice."""
        return self.known_life() != self._outside.life and not self._lost_receipts("")

    def _judge_crossing(self, ours: Credit, other: Credit) -> None:
        post = self._posts[ours.memo]
        if other.at < post.looked:
            told = f"{ours.namespace} is credited by us although {other.memo} was there before we looked"
            self.note(Wrong.CROSSED, told)
        else:
            self.crossed += 1

    def _claims(self) -> Counter[str]:
        """The purchases that a receipt of the present epoch calls credited."""
        epoch = "SELECT max(number) FROM epochs"
        rows = self._query(
            f"SELECT payment_intent FROM corrections WHERE state = ? AND epoch = ({epoch})",
            (CorrectionState.CONFIRMED.value,),
        )
        is_of_this_life = self.known_life() == self._outside.life
        return Counter(row[0] for row in rows) if is_of_this_life else Counter()

    def _must_be_listed(self, purchase: Purchase, engine: Engine) -> None:
        """A purchase that was never credited is before a person, or waits for one who released nothing."""
        name = (purchase.payment_intent,)
        if self._query("SELECT 1 FROM breaks WHERE payment_intent = ? AND resolved IS NULL", name):
            return
        if self._query("SELECT 1 FROM holds WHERE released IS NULL", ()) or self._is_unnoticed():
            return
        found = self._query("SELECT verdict, reason FROM purchases WHERE payment_intent = ?", name)
        verdict, reason = found[0] if found else (None, None)
        hidden = reason == "top_ups_unknown" and engine.network.rates.other_writers
        if verdict == "pending" or hidden:
            return
        self.note(
            Wrong.LOST, f"{purchase.namespace} is {verdict} ({reason}), has no credit and nobody is told"
        )

    def _must_be_listed_by_account(self, account: str) -> None:
        """As many purchases of an account as it has credits too few are before a person."""
        accounts = self._outside.accounts_of_one(account)
        owed = [
            found
            for found in self._outside.purchases.values()
            if found.account in accounts and not found.refunded
        ]
        names = {found.namespace for found in owed}
        given = [
            found
            for found in self._outside.credits
            if found.namespace in names or (found.account in accounts and found.namespace)
        ]
        held = self._query("SELECT 1 FROM holds WHERE released IS NULL", ()) or self._is_unnoticed()
        if len(given) >= len(owed) or held:
            return
        of_one = f"account IN ({', '.join('?' * len(accounts))})"
        listed = self._query(
            "SELECT DISTINCT b.payment_intent FROM breaks b JOIN purchases p USING (payment_intent) "
            f"WHERE b.resolved IS NULL AND p.{of_one}",
            tuple(sorted(accounts)),
        )
        waiting = self._query(
            f"SELECT 1 FROM purchases WHERE {of_one} AND (verdict IS NULL OR verdict = 'pending' "
            "OR reason = 'top_ups_unknown')",
            tuple(sorted(accounts)),
        )
        if len(listed) + len(waiting) < len(owed) - len(given):
            self.note(
                Wrong.LOST, f"{account} has {len(given)} credits for {len(owed)} purchases, nobody is told"
            )

    def _check_history(self) -> None:
        rows = self._query("SELECT sequence, previous, hash FROM history ORDER BY sequence", ())
        before = "0" * 64
        for place, (sequence, previous, hashed) in enumerate(rows, 1):
            if sequence != place or previous != before:
                self.note(Wrong.HISTORY, f"the history breaks at {sequence}")
                return
            before = hashed
        with self._ledger.read() as connection:
            broken = verify(connection).broken
        if broken is not None:
            self.note(Wrong.HISTORY, f"the history breaks: {broken.says}")

    def _query(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        return self._ledger.raw.execute(statement, values).fetchall()
