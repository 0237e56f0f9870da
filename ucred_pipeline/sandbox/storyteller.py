"""Turns a story into what the three systems then hold."""

import hashlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ucred_pipeline.domain.accounts import account_of
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.sandbox.cases import Certificate, Kind, Mint, Paying, Refunding, Story
from ucred_pipeline.sandbox.history import Happening
from ucred_pipeline.sandbox.indexer import Credit
from ucred_pipeline.sandbox.payments_database import IssuanceRow, PaymentRow
from ucred_pipeline.sandbox.payments_log import (
    REFUSED_CONNECTION,
    TIMED_OUT,
    Line,
    certificate_line,
    failed_issuance_line,
    minted_line,
    refused_line,
    request_failed_line,
)
from ucred_pipeline.sandbox.purchase import Purchase
from ucred_pipeline.sandbox.stripe_account import StripeAccount
from ucred_pipeline.sandbox.stripe_records import Intent

CENTS: Final = {
    "mythic": 750_000,
    "legendary": 350_000,
    "epic": 125_000,
    "rare": 35_000,
    "uncommon": 12_500,
    "common": 3_500,
}
_TIERS: Final = tuple(CENTS)
_WEIGHTS: Final = (1, 2, 5, 12, 25, 55)
_WORDS: Final = (
    "aurora",
    "basalt",
    "cinder",
    "delta",
    "ember",
    "fjord",
    "garnet",
    "harbor",
    "indigo",
    "juniper",
)
#: Builds of the payments API before this age wrote shorter lines and plain statuses.
_OLD_BUILD: Final = timedelta(days=20)
_PIN_FAILED: Final = "IPFS pin failed: 504 Gateway Timeout"
_TOP_UP: Final = WEI_PER_UCRED
_UNSET: Final = dict.fromkeys(
    ("namespace_reserved", "nil_name", "nil_role", "nil_pair_key", "partner_id", "affiliate_id"), ""
)


@dataclass(slots=True)
class Chronicle:
    """What is still to be written down, in the order of its times."""

    payments: list[PaymentRow] = field(default_factory=list)
    issuances: list[IssuanceRow] = field(default_factory=list)
    retries: list[tuple[str, str, datetime]] = field(default_factory=list)
    codes: list[tuple[str, str, datetime]] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    refused_tokens: list[datetime] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Nil:
    """The label of a NIL namespace."""

    name: str | None = None
    role: str | None = None
    pair: str | None = None


class Storyteller:
    """Makes up the particulars, always the same for the same seed."""

    def __init__(self, seed: int, clock: Clock, stripe: StripeAccount) -> None:
        self._random = random.Random(seed)
        self._clock = clock
        self._stripe = stripe
        self._namespaces = 0

    def tell(self, happening: Happening, chronicle: Chronicle, namespace: str | None = None) -> Purchase:
        """Let a story happen; what is to be written down goes to the chronicle."""
        story = happening.story
        purchase, tier, nil = self._begin(happening, namespace)
        metadata = self._metadata(story, purchase, tier, nil)
        self._pay(story, purchase, happening.address_at_stripe or happening.email, metadata)
        self._issue(story, purchase, nil, chronicle)
        if purchase.known:
            chronicle.payments.append(self._payment_row(story, purchase, tier, nil))
        self._mint(story, purchase, chronicle)
        if story.topped_up:
            self._top_up(purchase, chronicle)
        if story.kind is Kind.FRIENDS_AND_FAMILY:
            chronicle.codes.append((_code(purchase), tier, purchase.created))
        self._withdraw(story, purchase)
        return purchase

    def _begin(self, happening: Happening, namespace: str | None) -> tuple[Purchase, str, _Nil]:
        story = happening.story
        tier = self._random.choices(_TIERS, _WEIGHTS)[0]
        cents = self._random.randrange(900, 90_000) if story.kind is Kind.FOREIGN else CENTS[tier]
        purchase = Purchase(
            case=story.case,
            payment_intent=self._stripe.new_id("pi"),
            local_id=self._uuid(),
            email=happening.email,
            cents=cents,
            created=happening.created,
            namespace=None if story.kind is Kind.FOREIGN else namespace or self._namespace(),
            foreign=story.kind is Kind.FOREIGN,
            withdrawn=story.withdrawn,
            tangled=story.tangled,
            twice_issued=story.certificate is Certificate.TWICE,
            known=story.certificate is not Certificate.UNKNOWN,
        )
        return purchase, tier, self._nil(story)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _namespace(self) -> str:
        self._namespaces += 1
        return f"{_WORDS[self._namespaces % len(_WORDS)]}-{1000 + self._namespaces}.x"

    def _nil(self, story: Story) -> _Nil:
        if story.kind is not Kind.NIL:
            return _Nil()
        name = self._random.choice(_WORDS)
        return _Nil(name, self._random.choice(("city", "mascot")), f"{name}-pair")

    def _metadata(self, story: Story, purchase: Purchase, tier: str, nil: _Nil) -> Mapping[str, str]:
        if story.kind is Kind.FOREIGN:
            return {"order_id": purchase.local_id[:8]}
        if story.kind is Kind.WITHOUT_METADATA:
            return {}
        metadata = _UNSET | {"rarity_tier": tier, "namespace_reserved": purchase.namespace or ""}
        if nil.name:
            metadata |= {"nil_name": nil.name, "nil_role": nil.role or "", "nil_pair_key": nil.pair or ""}
        if story.kind is Kind.FRIENDS_AND_FAMILY:
            metadata["ff_code"] = _code(purchase)
        return metadata

    def _after(self, moment: datetime, low: float, high: float) -> datetime:
        """A moment some seconds later, but never in the future."""
        return min(moment + timedelta(seconds=self._random.uniform(low, high)), self._clock.now())

    def _pay(self, story: Story, purchase: Purchase, address: str, metadata: Mapping[str, str]) -> None:
        foreign = story.kind is Kind.FOREIGN
        intent = Intent(
            id=purchase.payment_intent,
            created=int(purchase.created.timestamp()),
            amount=purchase.cents,
            currency=self._random.choice(("usd", "eur", "jpy")) if foreign else "usd",
            email=address,
            metadata=metadata,
            description="Shop order" if foreign else "Namespace certificate",
        )
        self._stripe.create(intent)
        later = self._after(purchase.created, 20, 90)
        if story.paying is Paying.NINE_DAYS_LATER:
            later = self._after(purchase.created, 9 * 86_400, 9 * 86_400 + 3600)
        at = int(later.timestamp())
        if story.paying in {Paying.PAID, Paying.NINE_DAYS_LATER}:
            purchase.paid = later
            self._stripe.succeed(intent.id, at)
        elif story.paying is Paying.PROCESSING:
            self._stripe.process(intent.id, at)
        elif story.paying is Paying.CANCELED:
            self._stripe.cancel(intent.id, int(self._after(later, 86_400, 86_400).timestamp()))
        elif story.paying is Paying.DECLINED:
            self._stripe.decline(intent.id, at)

    def _payment_row(self, story: Story, purchase: Purchase, tier: str, nil: _Nil) -> PaymentRow:
        status = _status(story, purchase)
        return PaymentRow(
            id=purchase.local_id,
            stripe_id=purchase.payment_intent,
            cents=purchase.cents,
            email=purchase.email,
            namespace=purchase.namespace,
            tier=tier,
            status=status,
            created=purchase.created,
            settled=purchase.paid if status == "succeeded" else None,
            nil_name=nil.name,
            nil_role=nil.role,
            nil_pair_key=nil.pair,
            quoted=not self._is_old(purchase.created),
        )

    def _is_old(self, moment: datetime) -> bool:
        return self._clock.now() - moment > _OLD_BUILD

    def _issue(self, story: Story, purchase: Purchase, nil: _Nil, chronicle: Chronicle) -> None:
        certificate, namespace = story.certificate, purchase.namespace
        if certificate in {Certificate.NO_ROW, Certificate.UNKNOWN} or namespace is None:
            return
        asked = purchase.paid or self._after(purchase.created, 60, 300)
        at = self._after(asked, 1, 8)
        if certificate is Certificate.RETRIED:
            at = self._after(at, 3600, 18_000)
        row = self.certificate(purchase, namespace, at, nil=nil, state=_state(story))
        if certificate in {Certificate.FAILED, Certificate.PLACEHOLDER}:
            chronicle.issuances.append(_uncertified(row, certificate))
            chronicle.lines.append(
                failed_issuance_line(at, namespace, "IPFS pin failed: 504 Gateway Timeout")
            )
            return
        purchase.issued = at
        chronicle.lines.append(certificate_line(at, namespace, row.cid))
        if certificate is not Certificate.GIVEN_AWAY:
            chronicle.issuances.append(row)
        if certificate is Certificate.RETRIED:
            chronicle.retries.append((self._uuid(), row.id, at))
        if certificate is Certificate.TWICE:
            chronicle.issuances.append(self.certificate(purchase, self._namespace(), at))

    def certificate(
        self,
        purchase: Purchase,
        namespace: str,
        at: datetime,
        *,
        nil: _Nil = _Nil(),
        state: str = "issued",
    ) -> IssuanceRow:
        """A certificate's row."""
        digest = hashlib.sha3_256(namespace.encode()).hexdigest()
        return IssuanceRow(
            id=self._uuid(),
            payment=purchase.local_id,
            namespace=namespace,
            email=purchase.email,
            issued=at,
            expires=at + timedelta(days=7),
            token=self._uuid(),
            cid=f"Qm{digest[:44]}",
            sha3=digest,
            state=state,
            voided=self._after(at, 3600, 72_000) if state == "voided" else None,
            nil_name=nil.name,
            nil_role=nil.role,
            nil_pair_key=nil.pair,
        )

    def _mint(self, story: Story, purchase: Purchase, chronicle: Chronicle) -> None:
        if purchase.issued is None or purchase.namespace is None:
            return
        at = self._after(purchase.issued, 0.3, 1.7)
        self._credit(story, purchase, at, chronicle)
        self._fail_to_mint(story, account_of(purchase.email), at, chronicle)

    def _credit(self, story: Story, purchase: Purchase, at: datetime, chronicle: Chronicle) -> None:
        namespace, account, mint = purchase.namespace or "", account_of(purchase.email), story.mint
        if mint is Mint.OTHER_CAPITALS:
            account = account_of(purchase.email.title())
        if mint in {Mint.CREDITED, Mint.TWICE, Mint.UNHEARD, Mint.OTHER_CAPITALS}:
            purchase.credits += mint is not Mint.OTHER_CAPITALS
            chronicle.credits.append(Credit(account, WEI_PER_UCRED, f"purchase:{namespace}", at, "history"))
        if mint in {Mint.CREDITED, Mint.TWICE, Mint.OTHER_CAPITALS}:
            chronicle.lines.append(minted_line(at, account, namespace))
        if mint in {Mint.TWICE, Mint.BY_SUPPORT}:
            purchase.credits += 1
            later = self._after(at, 86_400, 172_800)
            memo = f"manual_credit:{namespace}"
            chronicle.credits.append(Credit(account, WEI_PER_UCRED, memo, later, "history"))

    def _fail_to_mint(self, story: Story, account: str, at: datetime, chronicle: Chronicle) -> None:
        old, mint = self._is_old(at), story.mint
        if mint is Mint.REFUSED:
            chronicle.refused_tokens.append(at)
            chronicle.lines.append(refused_line(at, account, old_build=old))
        if mint is Mint.DOWN:
            chronicle.lines.append(request_failed_line(at, account, REFUSED_CONNECTION, old_build=old))
        if mint in {Mint.TIMED_OUT, Mint.UNHEARD}:
            given_up = self._after(at, 10, 10)
            chronicle.lines.append(request_failed_line(given_up, account, TIMED_OUT, old_build=old))

    def _top_up(self, purchase: Purchase, chronicle: Chronicle) -> None:
        at = self._after(purchase.created, 86_400, 259_200)
        memo = f"topup:0x{self._random.getrandbits(256):064x}"
        chronicle.credits.append(Credit(account_of(purchase.email), _TOP_UP, memo, at, "history"))

    def _withdraw(self, story: Story, purchase: Purchase) -> None:
        since = purchase.issued or purchase.paid
        if since is None:
            return
        if story.refunding is not None:
            self._refund(story.refunding, purchase, since)
        if story.dispute is not None:
            self._dispute(story.dispute, purchase, since)

    def _refund(self, refunding: Refunding, purchase: Purchase, since: datetime) -> None:
        early = refunding is Refunding.EARLY
        later = self._after(since, 3000, 3500) if early else self._after(since, 172_800, 259_200)
        at = int(later.timestamp())
        intent, part = purchase.payment_intent, purchase.cents // 2
        if refunding in {Refunding.IN_TWO_PARTS, Refunding.PARTIAL}:
            self._stripe.refund(intent, part, "succeeded", at)
        if refunding is not Refunding.PARTIAL:
            status = {Refunding.PENDING: "pending", Refunding.FAILED: "failed"}.get(refunding, "succeeded")
            self._stripe.refund(intent, None, status, at)

    def _dispute(self, status: str, purchase: Purchase, since: datetime) -> None:
        opened = int(self._after(since, 86_400, 172_800).timestamp())
        if status in {"won", "lost"}:
            self._stripe.dispute(purchase.payment_intent, "needs_response", opened)
            opened = int(self._after(since, 200_000, 259_200).timestamp())
        self._stripe.dispute(purchase.payment_intent, status, opened)


def _code(purchase: Purchase) -> str:
    return f"FF-{purchase.local_id[:8]}"


def _status(story: Story, purchase: Purchase) -> str:
    if story.refunding is Refunding.EARLY:
        return "refunded"
    if story.paying in {Paying.CANCELED, Paying.PROCESSING} and purchase.issued is None:
        return story.paying.value
    if purchase.issued is not None:
        return "delivered"
    return "reserved" if purchase.paid is None else "succeeded"


def _state(story: Story) -> str:
    return "voided" if story.refunding is Refunding.EARLY else "issued"


def _uncertified(row: IssuanceRow, certificate: Certificate) -> IssuanceRow:
    failed = certificate is Certificate.FAILED
    return IssuanceRow(
        id=row.id,
        payment=row.payment,
        namespace=row.namespace,
        email=row.email,
        issued=row.issued,
        expires=row.expires,
        # A retry that got as far as the token left it there.
        token=row.token if failed else "",
        cid="",
        sha3="",
        state="failed" if failed else "pending",
        retries=5 if failed else 0,
        last_error=_PIN_FAILED if failed else None,
    )
