"""The world behind the servers: everything that happened, and what may happen next."""

import gc
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from ucred_pipeline.domain.accounts import account_of
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.sandbox.cases import LIVE, Certificate
from ucred_pipeline.sandbox.history import Happening, History
from ucred_pipeline.sandbox.indexer import Credit, Indexer
from ucred_pipeline.sandbox.payments_database import PaymentsDatabase
from ucred_pipeline.sandbox.payments_log import certificate_line, minted_line, write_lines
from ucred_pipeline.sandbox.purchase import Purchase
from ucred_pipeline.sandbox.spec import HISTORY, SandboxSpec
from ucred_pipeline.sandbox.storyteller import Chronicle, Storyteller
from ucred_pipeline.sandbox.stripe_account import StripeAccount
from ucred_pipeline.sandbox.stripe_records import WITHDRAWING_DISPUTES
from ucred_pipeline.sandbox.tracing_log import TracingLog
from ucred_pipeline.sandbox.truth import Truth, tell_truth

INDEXER_LOG: Final = "indexer.log"
PAYMENTS_LOG: Final = "payments.log"
DATABASE: Final = "payments.db"
_EARLY: Final = timedelta(hours=24)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pause the collector of cycles: a big history makes millions of objects and no garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class World:
    """Stripe, the indexer and the payments API; every method may be called from any thread."""

    def __init__(self, spec: SandboxSpec, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self.stripe = StripeAccount(clock, spec.seed)
        indexer_log = TracingLog(folder / INDEXER_LOG if spec.logs else None, "rust_l1_indexer")
        self._payments_log = TracingLog(folder / PAYMENTS_LOG if spec.logs else None, "payments_api")
        self.indexer = Indexer(clock, indexer_log, spec.token, clock.now() - HISTORY)
        self.database = PaymentsDatabase(folder / DATABASE)
        self.purchases: dict[str, Purchase] = {}
        self._others: dict[str, int] = defaultdict(int)
        self._history = History(spec, clock.now())
        self._teller = Storyteller(spec.seed, clock, self.stripe)
        with _without_collection():
            self._make_history()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self.database.close()
            self.indexer.log.close()
            self._payments_log.close()

    def _make_history(self) -> None:
        chronicle = Chronicle()
        given_away: dict[int, str | None] = {}
        for happening in self._history.happenings():
            purchase = self._happen(happening, chronicle, given_away)
            self.purchases[purchase.payment_intent] = purchase
        self._write(chronicle)

    def _happen(
        self, happening: Happening, chronicle: Chronicle, given_away: dict[int, str | None]
    ) -> Purchase:
        taken_over = happening.story.certificate is Certificate.TAKEN_OVER
        namespace = given_away.get(happening.family) if taken_over else None
        purchase = self._teller.tell(happening, chronicle, namespace)
        if happening.story.certificate is Certificate.GIVEN_AWAY:
            given_away[happening.family] = purchase.namespace
        return purchase

    def _write(self, chronicle: Chronicle) -> None:
        self.database.add_payments(chronicle.payments)
        self.database.add_issuances(chronicle.issuances)
        self.database.add_retries(chronicle.retries)
        self.database.add_codes(chronicle.codes)
        self.database.commit()
        write_lines(self._payments_log, chronicle.lines)
        refusals: list[tuple[datetime, Credit | None]] = [(at, None) for at in chronicle.refused_tokens]
        credited: list[tuple[datetime, Credit | None]] = [(credit.at, credit) for credit in chronicle.credits]
        for at, credit in sorted([*refusals, *credited], key=lambda entry: entry[0]):
            if credit is None:
                self.indexer.refuse_token(at)
            else:
                self.indexer.replay(credit)
                self._others[credit.account] += credit.amount_wei
        self.indexer.log.flush()

    def truth(self) -> Truth:
        """What is true now, before anything that came over HTTP."""
        with self._lock:
            return tell_truth(self.purchases.values(), self._others, self._clock.now())

    def purchase(self, case: str, email: str | None, age: timedelta) -> str:
        """Let somebody buy; returns the PaymentIntent's id."""
        story = LIVE.get(case)
        if story is None:
            raise ValueError(f'no case "{case}"; there are: {", ".join(LIVE)}')
        with self._lock:
            chronicle = Chronicle()
            address = email or (story.address or self._history.stranger()).format(n=len(self.purchases))
            happening = Happening(self._clock.now() - age, story, address, None, 0)
            purchase = self._teller.tell(happening, chronicle)
            self.purchases[purchase.payment_intent] = purchase
            self._write(chronicle)
            return purchase.payment_intent

    def succeed(self, payment_intent: str) -> None:
        """A payment that was begun earlier arrives now; its certificate is another matter."""
        with self._lock:
            purchase, now = self.purchases[payment_intent], self._clock.now()
            self.stripe.succeed(payment_intent, int(now.timestamp()))
            purchase.paid = now
            if purchase.known and purchase.issued is None:
                self.database.set_status(purchase.local_id, "succeeded", now)
                self.database.commit()

    def issue(self, payment_intent: str, *, credited: bool) -> None:
        """A certificate is issued now: by the webhook, which credits, or by the retry worker."""
        with self._lock:
            purchase, now = self.purchases[payment_intent], self._clock.now()
            if not purchase.known or purchase.namespace is None:
                raise ValueError("the payments database does not know this payment")
            row = self._teller.certificate(purchase, purchase.namespace, now)
            self.database.drop_issuances(purchase.local_id)
            self.database.add_issuances([row])
            self.database.set_status(purchase.local_id, "delivered", None)
            self.database.commit()
            purchase.issued = now
            write_lines(self._payments_log, [certificate_line(now, row.namespace, row.cid)])
            if credited:
                self.credit(payment_intent, f"purchase:{row.namespace}")
                line = minted_line(now, account_of(purchase.email), row.namespace)
                write_lines(self._payments_log, [line])

    def credit(self, payment_intent: str, memo: str | None, wei: int = WEI_PER_UCRED) -> None:
        """Somebody else credits a purchase now; support by hand where no memo is named."""
        with self._lock:
            purchase = self.purchases[payment_intent]
            purchase.credits += 1
            account = account_of(purchase.email)
            self._credit(account, wei, memo or f"manual_credit:{purchase.namespace}")

    def top_up(self, account: str, wei: int) -> None:
        """A consent gateway tops an account up now."""
        with self._lock:
            self._credit(account, wei, f"topup:0x{len(self.indexer.credits):064x}")

    def _credit(self, account: str, wei: int, memo: str) -> None:
        self.indexer.replay(Credit(account, wei, memo, self._clock.now(), "history"))
        self.indexer.log.flush()
        self._others[account] += wei

    def refund(self, payment_intent: str, amount: int | None, status: str) -> str:
        """Give money back now; an early full refund voids the certificate, a late one leaves no trace."""
        with self._lock:
            purchase, now = self.purchases[payment_intent], self._clock.now()
            refund = self.stripe.refund(payment_intent, amount, status, int(now.timestamp()))
            charge = self.stripe.latest_charge(payment_intent)
            purchase.withdrawn = purchase.withdrawn or charge.amount_refunded >= charge.amount
            early = purchase.issued is not None and now - purchase.issued < _EARLY
            if purchase.known and early and charge.amount_refunded >= charge.amount:
                self.database.void(purchase.local_id, now)
                self.database.set_status(purchase.local_id, "refunded", None)
                self.database.commit()
            return refund

    def dispute(self, payment_intent: str, status: str) -> str:
        """The customer objects now, or the dispute moves on; the payments database never hears of it."""
        with self._lock:
            purchase = self.purchases[payment_intent]
            now = int(self._clock.now().timestamp())
            dispute = self.stripe.dispute(payment_intent, status, now)
            charge = self.stripe.latest_charge(payment_intent)
            refunded = charge.amount_refunded >= charge.amount
            purchase.withdrawn = refunded or status in WITHDRAWING_DISPUTES
            return dispute

    def debit(self, account: str, wei: int) -> None:
        """Take from an account, which no route of the reviewed build does."""
        with self._lock:
            self.indexer.debit(account, wei)
            self._others[account] -= wei

    def restart_indexer(self) -> None:
        """The indexer's process ends and begins again, from genesis."""
        with self._lock:
            self.indexer.restart()
            self._others.clear()
            for purchase in self.purchases.values():
                purchase.credits = 0
