"""Verdicts: what the pipeline concludes about a purchase, on what basis, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, Self


@unique
class Verdict(StrEnum):
    """What is concluded about a purchase."""

    CREDITED = "credited"
    LACKING = "lacking"
    PENDING = "pending"
    IN_DOUBT = "in_doubt"
    AMBIGUOUS = "ambiguous"
    WITHDRAWN = "withdrawn"
    UNISSUED = "unissued"
    UNPAID = "unpaid"
    OVER_CREDITED = "over_credited"
    FOREIGN = "foreign"


@unique
class Basis(StrEnum):
    """Which evidence a verdict stands on."""

    RECEIPT = "receipt"
    LOG = "log"
    BALANCE = "balance"
    NONE = "none"


@unique
class Reason(StrEnum):
    """Why a verdict was given: a name for machines, with a sentence for people."""

    text: str

    def __new__(cls, value: str, text: str) -> Self:
        """Keep the sentence beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    FOREIGN_PAYMENT = "foreign_payment", "The payment is for another product."
    RECEIPT = "receipt", "Our own correction is the credit, by its receipt or by what settled it."
    LOG_LINE = "log_line", "A line of the indexer's log shows the credit."
    MINT_LINE = "mint_line", "The payments API's log says that it minted for this purchase."
    NOTHING_OWED = "nothing_owed", "The reward rule gives nothing for this purchase."
    DECIDED_BY_PERSON = "decided_by_person", "A person decided it."
    BALANCE_COVERS = (
        "balance_covers",
        "The balance covers what the account is owed, and nobody else credits it.",
    )
    TOP_UPS_UNKNOWN = (
        "top_ups_unknown",
        "The balance covers this purchase, the oldest first; an unknown top-up could hide a missing credit.",
    )
    LOG_SHOWS_NONE = "log_shows_none", "The log is proved complete and shows no credit for this purchase."
    BALANCE_TOO_LOW = (
        "balance_too_low",
        "The balance is below what the account is owed; by convention the newest purchases lack.",
    )
    WITHIN_GRACE = "within_grace", "It is still within the grace period."
    LOG_BEHIND = "log_behind", "The grace period is over, but the log is not yet proved complete beyond it."
    BALANCE_UNKNOWN = "balance_unknown", "The account's balance was never read."
    BALANCE_OUTDATED = "balance_outdated", "The balance was read before the newest credit that is known."
    STRIPE_NOT_WHOLE = "stripe_not_whole", "Stripe was not read whole for the time of this payment."
    NOT_PAID = "not_paid", "The payment has not succeeded, and there is no certificate."
    SIBLING_WITHIN_GRACE = (
        "sibling_within_grace",
        "The balance may hold the credit of a newer purchase of the account, which is not settled yet.",
    )
    SIBLING_IN_DOUBT = (
        "sibling_in_doubt",
        "Another purchase of the account has a correction in doubt, which may turn out to be this one's.",
    )
    CORRECTION_IN_DOUBT = (
        "correction_in_doubt",
        "A correction is under way, or may or may not have had an effect.",
    )
    TWO_CERTIFICATES = "two_certificates", "More than one certificate was issued for the payment."
    ADDRESSES_DIFFER = (
        "addresses_differ",
        "The payments database has, or had, another address or namespace for the purchase.",
    )
    NAME_UNREADABLE = (
        "name_unreadable",
        "Its account or namespace is empty or has control characters, so no log can be trusted to name it.",
    )
    UNEXPLAINED_CREDIT = (
        "unexplained_credit",
        "The account has a credit whose memo names no purchase that is known; it may be this one's.",
    )
    CREDITED_IN_PART = (
        "credited_in_part",
        "Credits name this purchase that come to less than it earns; the rest is for a person.",
    )
    STRIPE_ADDRESS_DIFFERS = (
        "stripe_address_differs",
        "Stripe has another address for it, and no complete log shows that the account there has no credit.",
    )
    DATED_AHEAD = "dated_ahead", "Its certificate is dated ahead of time, so its grace period cannot be told."
    ACCOUNT_UNKNOWN = "account_unknown", "No record names the customer, so there is no account to credit."
    CREDITED_ELSEWHERE = (
        "credited_elsewhere",
        "A credit names the namespace with another account; crediting may pay one human twice.",
    )
    NAMESPACE_SHARED = (
        "namespace_shared",
        "Another purchase has the same namespace and account, and there are fewer credits than purchases.",
    )
    MINTED_NOT_IN_LOG = (
        "minted_not_in_log",
        "The payments API says that it minted, and the complete log of the indexer shows nothing.",
    )
    MINT_REFUSED_BUT_COVERED = (
        "mint_refused_but_covered",
        "The mint was refused, and yet the balance covers all that the account is owed.",
    )
    BALANCE_BELOW_PROVEN = "balance_below_proven", "The account holds less than the credits that are proved."
    DEBITS_POSSIBLE = "debits_possible", "The balance is too low, but the customer may have spent."
    PARTLY_COVERED = "partly_covered", "The balance covers a part of this purchase only."
    WITHDRAWN_MAY_COVER = (
        "withdrawn_may_cover",
        "The balance may hold the credit of another purchase of the account that is not owed or not clear.",
    )
    SURPLUS_MAY_COVER = (
        "surplus_may_cover",
        "Another purchase of the account has a correction too many, which may have been this one's.",
    )
    REFUNDED = "refunded", "The payment was fully refunded; no credit is known."
    REFUNDED_AFTER_CREDIT = "refunded_after_credit", "The payment was fully refunded after it was credited."
    DISPUTED = "disputed", "The payment is disputed and not won; no credit is known."
    DISPUTED_AFTER_CREDIT = "disputed_after_credit", "The payment is disputed and not won, and was credited."
    VOIDED = "voided", "The certificate was voided; no credit is known."
    VOIDED_AFTER_CREDIT = "voided_after_credit", "The certificate was voided, and the purchase was credited."
    NO_CERTIFICATE = "no_certificate", "The payment succeeded, and no certificate was issued."
    PAYMENT_MISSING = "payment_missing", "There is a certificate, and Stripe has no such payment."
    PAYMENT_NOT_SUCCEEDED = (
        "payment_not_succeeded",
        "There is a certificate, and the payment did not succeed.",
    )
    UNPAID_AFTER_CREDIT = (
        "unpaid_after_credit",
        "There is a certificate without a successful payment, and it was credited.",
    )
    CREDITED_WITHOUT_PAYMENT = (
        "credited_without_payment",
        "A credit names this purchase, which was never paid and has no certificate.",
    )
    CREDITED_WITHOUT_REWARD = (
        "credited_without_reward",
        "A credit names this purchase, for which the reward rule gives nothing.",
    )
    CREDITED_TWICE = (
        "credited_twice",
        "More than one credit names this purchase, or one of more than it earns.",
    )
    BALANCE_EXCEEDS = "balance_exceeds", "The account holds more than it is owed, and nobody else credits it."


_BREAKS: Final = frozenset(
    {
        Verdict.LACKING,
        Verdict.IN_DOUBT,
        Verdict.AMBIGUOUS,
        Verdict.UNISSUED,
        Verdict.UNPAID,
        Verdict.OVER_CREDITED,
    }
)
_AFTER_CREDIT: Final = frozenset(
    {Reason.REFUNDED_AFTER_CREDIT, Reason.DISPUTED_AFTER_CREDIT, Reason.VOIDED_AFTER_CREDIT}
)
_MEANING: Final[Mapping[Verdict, str]] = {
    Verdict.CREDITED: "The UCRED has arrived.",
    Verdict.LACKING: "The UCRED is owed and has not arrived.",
    Verdict.PENDING: "Nothing is decided yet.",
    Verdict.IN_DOUBT: "A send may or may not have had an effect.",
    Verdict.AMBIGUOUS: "The evidence cannot decide; a person must.",
    Verdict.WITHDRAWN: "The customer has the money back, or may; nothing is owed.",
    Verdict.UNISSUED: "It is paid, and has no certificate.",
    Verdict.UNPAID: "It has a certificate, and is not paid.",
    Verdict.OVER_CREDITED: "More arrived than was owed.",
    Verdict.FOREIGN: "It is no purchase of ours.",
}


def is_break(verdict: Verdict, reason: Reason) -> bool:
    """Whether a verdict needs attention; one that was withdrawn does only where it was credited."""
    return verdict in _BREAKS or (verdict is Verdict.WITHDRAWN and reason in _AFTER_CREDIT)


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its basis and its reason."""

    verdict: Verdict
    basis: Basis
    reason: Reason

    @property
    def is_break(self) -> bool:
        """Whether it needs attention."""
        return is_break(self.verdict, self.reason)

    def explain(self) -> str:
        """Say it in two sentences for people."""
        return f"{_MEANING[self.verdict]} {self.reason.text}"
