"""Purchases: a payment and its issuance together, and what that earns.

Identity is the PaymentIntent's id; the namespace is the name for people. A payment belongs to a
purchase when the payments database knows it or its metadata carries `rarity_tier`; any other is
foreign. The account is made from the address as the payments database has it, byte for byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ucred_pipeline.domain.accounts import account_of
from ucred_pipeline.domain.issuances import ISSUED, VOIDED, Issuance, PaymentRecord
from ucred_pipeline.domain.payments import Payment
from ucred_pipeline.domain.rewards import PurchaseType, RewardTable, classify
from ucred_pipeline.domain.verdicts import Verdict

#: Verdicts before which the payments API cannot have minted, unless there has been a certificate.
_NEVER_CREDITED: Final = frozenset({None, Verdict.UNISSUED, Verdict.UNPAID, Verdict.FOREIGN})
_SETTLED: Final = frozenset({Verdict.CREDITED, Verdict.OVER_CREDITED, Verdict.WITHDRAWN, Verdict.IN_DOUBT})
#: What a purchase without an account is judged with: itself alone.
_ALONE: Final = "payment:"


@dataclass(frozen=True, slots=True)
class Sources:
    """What each system says of one PaymentIntent; at least one of them knows it."""

    payment_intent: str
    payment: Payment | None
    record: PaymentRecord | None
    issuances: Sequence[Issuance]

    @property
    def certificates(self) -> list[Issuance]:
        """The issuances that are certificates, oldest first."""
        return sorted(
            (found for found in self.issuances if found.state == ISSUED), key=lambda row: row.issued
        )


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is bought, by whom, what it earns, and what is known of its payment and certificate.

    `judged_with` groups what must be judged together: the account. `due_since` is when the credit
    fell due (the certificate's time; without one, the payment's), `entitlement` is in wei. It has
    `moved` when its account or namespace is another than it was when it may have been credited.
    """

    payment_intent: str
    judged_with: str
    account: str | None
    namespace: str | None
    purchase_type: PurchaseType
    entitlement: int
    rule: str
    needs_certificate: bool
    is_foreign: bool
    payment_known: bool
    succeeded: bool
    refunded: bool
    disputed: bool
    voided: bool
    addresses_differ: bool
    issued_rows: int
    created: datetime
    issued: datetime | None
    due_since: datetime | None
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """What an earlier run had concluded about a purchase; `corrected` where it has a correction of ours.

    `certified` where it has had a certificate, for which the payments API mints, whatever became of either.
    """

    account: str | None
    namespace: str | None
    entitlement: int
    rule: str
    verdict: Verdict | None
    moved: bool
    corrected: bool
    certified: bool

    @property
    def may_be_credited(self) -> bool:
        """Whether a credit may stand under the account and the namespace of that time."""
        return self.corrected or self.certified or self.verdict not in _NEVER_CREDITED

    @property
    def is_settled(self) -> bool:
        """Whether what it earned is settled, so that a changed rule comes too late for it."""
        return self.corrected or self.verdict in _SETTLED


def left_behind(fresh: Purchase | None, before: Before) -> str | None:
    """The account on which a purchase may have a credit, and which it has left, or may leave unnoticed."""
    stays = (
        fresh is not None
        and not _differs(before.account, fresh.account)
        and (fresh.issued_rows > 0 or not before.certified)
    )
    return before.account if before.may_be_credited and not stays else None


def paid_elsewhere(found: Sources, account: str | None) -> str | None:
    """The account of the address that was paid with, where that is not the purchase's, and may have a credit.

    Stripe's addresses are a cross-check only: other capitals are no other address, and without a certificate
    nobody has minted.
    """
    email = found.payment.receipt_email if found.payment else None
    was_certified = any(row.state in {ISSUED, VOIDED} for row in found.issuances)
    if not email or not was_certified:
        return None
    paid_as = account_of(email)
    return None if account and paid_as.casefold() == account.casefold() else paid_as


def continued(fresh: Purchase, before: Before) -> Purchase:
    """Carry over what a change in the sources must not change.

    A purchase that may have been credited and has another account or namespace now has *moved*: the
    new one would seem to lack what the old one has. One that went by its PaymentIntent's id, for want of a
    certificate, was credited under that name by nobody but us. What was settled keeps what it earned.
    """
    named_at_last = before.namespace == fresh.payment_intent and not before.corrected
    renamed = not named_at_last and _differs(before.namespace, fresh.namespace)
    elsewhere = renamed or _differs(before.account, fresh.account)
    moved = before.moved or (elsewhere and before.may_be_credited)
    if before.is_settled:
        return replace(fresh, moved=moved, entitlement=before.entitlement, rule=before.rule)
    return replace(fresh, moved=moved)


def _differs(before: str | None, now: str | None) -> bool:
    return before is not None and before != now


def purchase_of(
    found: Sources, rewards: RewardTable, friends_and_family_keys: Sequence[str]
) -> Purchase | None:
    """Put together what the systems say; None for an intent that was neither paid nor certified."""
    payment, certificates = found.payment, found.certificates
    succeeded = payment is not None and payment.succeeded
    voided = not certificates and any(row.state == VOIDED for row in found.issuances)
    if not (succeeded or certificates or voided):
        return None
    purchase_type = classify(payment.metadata if payment else {}, _nil_name(found), friends_and_family_keys)
    entitlement = rewards.entitlement(purchase_type, _created(found))
    account = _account(found)
    issued = certificates[-1].issued if certificates else None
    return Purchase(
        payment_intent=found.payment_intent,
        judged_with=account or _ALONE + found.payment_intent,
        account=account,
        namespace=_namespace(found, needs_certificate=entitlement.needs_certificate),
        purchase_type=purchase_type,
        entitlement=entitlement.wei,
        rule=entitlement.rule,
        needs_certificate=entitlement.needs_certificate,
        is_foreign=_is_foreign(found),
        payment_known=payment is not None,
        succeeded=succeeded,
        refunded=payment is not None and payment.fully_refunded,
        disputed=payment is not None and payment.dispute.withdraws,
        voided=voided,
        addresses_differ=_addresses_differ(found),
        issued_rows=len(certificates),
        created=_created(found),
        issued=issued,
        due_since=_due_since(issued, payment),
    )


def _due_since(issued: datetime | None, payment: Payment | None) -> datetime | None:
    """When it was certified, or else paid; no certificate is older than its payment, whatever it says."""
    known = [moment for moment in (issued, payment.paid if payment else None) if moment]
    return max(known, default=None)


def _is_foreign(found: Sources) -> bool:
    known = found.record is not None or bool(found.issuances)
    return not known and "rarity_tier" not in (found.payment.metadata if found.payment else {})


def _named(found: Sources) -> Issuance | None:
    """The issuance that speaks for the purchase: its certificate, or else its newest row."""
    rows = found.certificates or sorted(found.issuances, key=lambda row: row.issued)
    return rows[-1] if rows else None


def _account(found: Sources) -> str | None:
    row = _named(found) or found.record
    return account_of(row.customer_email) if row and row.customer_email else None


def _namespace(found: Sources, *, needs_certificate: bool) -> str | None:
    row = _named(found)
    if row is not None:
        return row.namespace
    if not needs_certificate:
        return found.payment_intent
    reserved = found.payment.metadata.get("namespace_reserved") if found.payment else None
    return (found.record.namespace_reserved if found.record else None) or reserved or None


def _nil_name(found: Sources) -> str | None:
    row = _named(found)
    named = row.nil_name if row else None
    of_record = found.record.nil_name if found.record else None
    of_payment = found.payment.metadata.get("nil_name") if found.payment else None
    return named or of_record or of_payment or None


def _created(found: Sources) -> datetime:
    if found.payment is not None:
        return found.payment.created
    if found.record is not None:
        return found.record.created
    return min(row.issued for row in found.issuances)


def _addresses_differ(found: Sources) -> bool:
    addresses = {row.customer_email for row in found.certificates}
    if found.record is not None and addresses:
        addresses.add(found.record.customer_email)
    return len(addresses) > 1
