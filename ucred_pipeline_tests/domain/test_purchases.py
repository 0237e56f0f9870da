"""A purchase is put together from what each system says of one payment, by the rules of who is right."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.domain.purchases import Before, Purchase, Sources, continued, left_behind, purchase_of
from ucred_pipeline.domain.rewards import TODAYS_REWARDS, PurchaseType, RewardRule, RewardTable
from ucred_pipeline.domain.verdicts import Verdict

DAY: Final = datetime(2026, 1, 21, 17, 46, tzinfo=UTC)
AN_HOUR: Final = timedelta(hours=1)
PAYMENT: Final = Payment(
    id="pi_1",
    created=DAY,
    status="succeeded",
    currency="usd",
    received=3500,
    refunded=0,
    dispute=Dispute.NONE,
    paid=DAY + AN_HOUR,
    receipt_email="Stripe@example.com",
    metadata={"rarity_tier": "common"},
)
RECORD: Final = PaymentRecord("pi_1", "Buyer@example.com", "reserved.x", None, "delivered", DAY + AN_HOUR)
ISSUANCE: Final = Issuance(
    id="i1",
    payment_intent="pi_1",
    namespace="1.x",
    customer_email="Buyer@example.com",
    nil_name=None,
    state="issued",
    issued=DAY + 2 * AN_HOUR,
    voided=None,
)
SOURCES: Final = Sources("pi_1", PAYMENT, RECORD, [ISSUANCE])
_FF_KEYS: Final = ("ff_code",)
#: Friends and family get theirs without a certificate.
_FF_WITHOUT: Final = RewardTable(
    tuple(
        RewardRule(kind, WEI_PER_UCRED, needs_certificate=kind is not PurchaseType.FRIENDS_AND_FAMILY)
        for kind in PurchaseType
    )
)


def purchase(rewards: RewardTable = TODAYS_REWARDS, **changes: Any) -> Purchase:
    """Put a purchase together, with some sources changed."""
    found = purchase_of(replace(SOURCES, **changes), rewards, _FF_KEYS)
    assert found is not None
    return found


def paid(**changes: Any) -> Payment:
    """Change what Stripe says."""
    return replace(PAYMENT, **changes)


def issued(**changes: Any) -> Issuance:
    """Change what the payments API says of the certificate."""
    return replace(ISSUANCE, **changes)


def test_an_ordinary_purchase() -> None:
    """It is paid, has its certificate, and earns 1 UCRED for the address of the payments database."""
    assert purchase() == Purchase(
        payment_intent="pi_1",
        judged_with="acct:user:Buyer@example.com",
        account="acct:user:Buyer@example.com",
        namespace="1.x",
        purchase_type=PurchaseType.NAMESPACE,
        entitlement=WEI_PER_UCRED,
        rule=TODAYS_REWARDS.rule(PurchaseType.NAMESPACE, DAY).name,
        needs_certificate=True,
        is_foreign=False,
        payment_known=True,
        succeeded=True,
        refunded=False,
        disputed=False,
        voided=False,
        addresses_differ=False,
        issued_rows=1,
        created=DAY,
        issued=DAY + 2 * AN_HOUR,
        due_since=DAY + 2 * AN_HOUR,
    )


@pytest.mark.parametrize("status", ["processing", "requires_payment_method", "canceled", "requires_capture"])
def test_an_intent_that_came_to_nothing_is_no_purchase(status: str) -> None:
    """Neither paid nor certified nor voided: there is nothing to judge."""
    sources = replace(SOURCES, payment=paid(status=status), issuances=[issued(state="pending")])

    assert purchase_of(sources, TODAYS_REWARDS, _FF_KEYS) is None
    assert purchase_of(replace(sources, payment=None, issuances=[]), TODAYS_REWARDS, _FF_KEYS) is None


@pytest.mark.parametrize("state", ["pending", "processing", "failed"])
def test_only_issued_is_a_certificate(state: str) -> None:
    """A row with placeholders is none: the purchase is due since it was paid, and has no certificate yet."""
    found = purchase(issuances=[issued(state=state)])

    assert (found.issued_rows, found.issued, found.due_since) == (0, None, DAY + AN_HOUR)
    assert (found.namespace, found.voided) == ("1.x", False)


def test_a_certificate_without_a_payment_is_a_purchase() -> None:
    """What Stripe does not have, or has not succeeded, is looked at: it is unpaid."""
    unknown, unpaid = purchase(payment=None), purchase(payment=paid(status="processing"))

    assert (unknown.payment_known, unknown.succeeded, unknown.created) == (False, False, RECORD.created)
    assert (unpaid.payment_known, unpaid.succeeded) == (True, False)
    assert purchase(payment=None, record=None).created == ISSUANCE.issued


def test_a_voided_certificate_is_one_only_alone() -> None:
    """Where the namespace was issued again, the new certificate counts."""
    void = issued(id="i0", state="voided", voided=DAY)

    assert purchase(issuances=[void]).voided
    assert not purchase(issuances=[void, ISSUANCE]).voided
    assert purchase(issuances=[void, ISSUANCE]).issued_rows == 1


def test_two_certificates_are_counted() -> None:
    """The newest speaks for the purchase, and a person has to look."""
    newer = issued(id="i2", namespace="2.x", issued=DAY + 5 * AN_HOUR)

    for rows in ([ISSUANCE, newer], [newer, ISSUANCE]):
        found = purchase(issuances=rows)
        assert (found.issued_rows, found.namespace, found.issued) == (2, "2.x", newer.issued)


@pytest.mark.parametrize(
    "changes, refunded, disputed",
    [
        ({}, False, False),
        ({"refunded": 3499}, False, False),
        ({"refunded": 3500}, True, False),
        ({"refunded": 3501}, True, False),
        ({"received": 0}, False, False),
        ({"dispute": Dispute.WARNING}, False, False),
        ({"dispute": Dispute.OPEN}, False, True),
        ({"dispute": Dispute.LOST}, False, True),
        ({"dispute": Dispute.WON}, False, False),
    ],
)
def test_stripe_says_what_was_given_back(changes: dict[str, Any], *, refunded: bool, disputed: bool) -> None:
    """Only a full refund withdraws, and a dispute that is open or lost."""
    found = purchase(payment=paid(**changes))

    assert (refunded, disputed) == (found.refunded, found.disputed)


@pytest.mark.parametrize(
    "changes, foreign",
    [
        ({"record": None, "issuances": [], "payment": paid(metadata={})}, True),
        ({"record": None, "issuances": [], "payment": paid(metadata={"product": "mug"})}, True),
        ({"record": None, "issuances": []}, False),
        ({"record": None, "issuances": [], "payment": paid(metadata={"rarity_tier": ""})}, False),
        ({"issuances": [], "payment": paid(metadata={})}, False),
        ({"record": None, "payment": paid(metadata={})}, False),
    ],
)
def test_a_payment_for_something_else_is_foreign(changes: dict[str, Any], *, foreign: bool) -> None:
    """It is ours when the payments database knows it, or its metadata has a tier, even an empty one."""
    assert foreign == purchase(**changes).is_foreign


@pytest.mark.parametrize(
    "changes, account",
    [
        ({}, "acct:user:Buyer@example.com"),
        ({"issuances": []}, "acct:user:Buyer@example.com"),
        ({"issuances": [issued(customer_email="a+b&c%20d@Éx.com")]}, "acct:user:a+b&c%20d@Éx.com"),
        ({"issuances": [issued(customer_email=" spaced@x.com ")]}, "acct:user: spaced@x.com "),
        ({"record": None, "issuances": []}, None),
        ({"record": None, "issuances": [issued(customer_email="")]}, None),
    ],
)
def test_the_account_is_the_payments_databases(changes: dict[str, Any], account: str | None) -> None:
    """Byte for byte, with its capitals; never Stripe's address; without one the purchase is judged alone."""
    found = purchase(**changes)

    assert account == found.account
    assert found.judged_with == (account or "payment:pi_1")


@pytest.mark.parametrize(
    "changes, differ",
    [
        ({}, False),
        ({"issuances": [issued(customer_email="buyer@example.com")]}, True),
        ({"issuances": [ISSUANCE, issued(id="i2", customer_email="other@example.com")]}, True),
        ({"issuances": [issued(customer_email="other@example.com", state="pending")]}, False),
        ({"record": None}, False),
    ],
)
def test_two_addresses_are_seen(changes: dict[str, Any], *, differ: bool) -> None:
    """Record and certificates that name different buyers are for a person, a difference in case included."""
    assert differ == purchase(**changes).addresses_differ


@pytest.mark.parametrize(
    "changes, namespace",
    [
        ({"issuances": []}, "reserved.x"),
        ({"issuances": [], "record": None, "payment": paid(metadata={"namespace_reserved": "m.x"})}, "m.x"),
        ({"issuances": [], "record": None}, None),
        ({"issuances": [], "record": None, "payment": paid(metadata={"namespace_reserved": ""})}, None),
        ({"issuances": [issued(state="failed", namespace="failed.x")]}, "failed.x"),
    ],
)
def test_the_name_for_people(changes: dict[str, Any], namespace: str | None) -> None:
    """A certificate's namespace, or what was reserved."""
    assert namespace == purchase(**changes).namespace


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({}, PurchaseType.NAMESPACE),
        ({"payment": paid(metadata={"ff_code": "x"})}, PurchaseType.FRIENDS_AND_FAMILY),
        ({"payment": paid(metadata={"ff_code": "", "nil_name": ""})}, PurchaseType.NAMESPACE),
        ({"payment": paid(metadata={"nil_name": "oslo"})}, PurchaseType.NIL),
        ({"record": replace(RECORD, nil_name="oslo")}, PurchaseType.NIL),
        ({"issuances": [issued(nil_name="oslo")]}, PurchaseType.NIL),
        (
            {"issuances": [issued(nil_name="oslo")], "payment": paid(metadata={"ff_code": "x"})},
            PurchaseType.FRIENDS_AND_FAMILY,
        ),
    ],
)
def test_the_type_of_a_purchase(changes: dict[str, Any], kind: PurchaseType) -> None:
    """Friends and family come first, then a NIL name of whichever source, then the rest."""
    assert kind is purchase(**changes).purchase_type


def test_a_reward_without_a_certificate() -> None:
    """Where the rule asks for none, the purchase's name is the payment's, and it is due since it was paid."""
    found = purchase(_FF_WITHOUT, issuances=[], payment=paid(metadata={"ff_code": "x"}))

    assert (found.namespace, found.needs_certificate) == ("pi_1", False)
    assert found.due_since == PAYMENT.paid


def test_the_day_of_creation_decides_the_reward() -> None:
    """Not when it was paid, and not when it was issued."""
    later = RewardRule(PurchaseType.NAMESPACE, 2 * WEI_PER_UCRED, since=(DAY + timedelta(days=1)).date())
    table = RewardTable((*TODAYS_REWARDS.rules, later))

    assert purchase(table, payment=paid(paid=DAY + timedelta(days=9))).entitlement == WEI_PER_UCRED
    assert purchase(table, payment=paid(created=DAY + timedelta(days=1))).entitlement == 2 * WEI_PER_UCRED


#: Verdicts of a purchase that nobody can have credited.
NEVER_CREDITED: Final = [None, Verdict.UNISSUED, Verdict.UNPAID, Verdict.FOREIGN]
#: Verdicts after which what a purchase earned no longer changes.
SETTLED: Final = [Verdict.CREDITED, Verdict.OVER_CREDITED, Verdict.WITHDRAWN, Verdict.IN_DOUBT]
ELSEWHERE: Final[list[dict[str, Any]]] = [
    {"account": "acct:user:old@example.com"},
    {"account": "acct:user:buyer@example.com"},
    {"namespace": "old.x"},
    {"account": "acct:user:old@example.com", "namespace": "old.x"},
]


def before(verdict: Verdict | None = Verdict.CREDITED, **changes: Any) -> Before:
    """What an earlier run had concluded of the ordinary purchase, with some of it changed."""
    fresh = purchase()
    concluded = Before(
        account=fresh.account,
        namespace=fresh.namespace,
        entitlement=fresh.entitlement,
        rule=fresh.rule,
        verdict=verdict,
        moved=False,
        corrected=False,
        certified=False,
    )
    return replace(concluded, **changes)


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("verdict", [None, *Verdict])
def test_a_purchase_that_stays_as_it_was(verdict: Verdict | None, *, corrected: bool) -> None:
    """Where account, namespace and reward are those of the last run, nothing is carried over."""
    assert purchase() == continued(purchase(), before(verdict, corrected=corrected))


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("verdict", [one for one in Verdict if one not in NEVER_CREDITED])
def test_a_purchase_that_moved(verdict: Verdict, elsewhere: dict[str, Any]) -> None:
    """Another account or namespace than when it may have been credited is told, and the new one stays."""
    found = continued(purchase(), before(verdict, **elsewhere))

    assert replace(purchase(), moved=True) == found


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("verdict", NEVER_CREDITED)
def test_a_purchase_that_nobody_can_have_credited(verdict: Verdict | None, elsewhere: dict[str, Any]) -> None:
    """Before it can have been credited a purchase may change its account and namespace freely."""
    assert not continued(purchase(), before(verdict, **elsewhere)).moved


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("verdict", NEVER_CREDITED)
def test_a_certificate_may_have_been_minted_for(verdict: Verdict | None, elsewhere: dict[str, Any]) -> None:
    """Where there has been a certificate the payments API may have minted, paid or not."""
    assert continued(purchase(), before(verdict, certified=True, **elsewhere)).moved


@pytest.mark.parametrize(
    "now, certified, left",
    [
        (purchase(), True, None),
        (purchase(), False, None),
        (purchase(issuances=[]), True, "acct:user:Buyer@example.com"),
        (purchase(issuances=[]), False, None),
        (None, True, "acct:user:Buyer@example.com"),
    ],
)
def test_the_account_that_a_purchase_has_left(
    now: Purchase | None, left: str | None, *, certified: bool
) -> None:
    """One that lost its certificate may come back under another account, and is known to have been here."""
    assert left_behind(now, before(certified=certified)) == left
    other = before(certified=certified, account="acct:user:old@example.com")
    assert left_behind(now, other) == other.account


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("verdict", [one for one in Verdict if one not in NEVER_CREDITED])
def test_a_purchase_that_gets_its_name_at_last(verdict: Verdict, *, corrected: bool) -> None:
    """One that had no certificate yet went by its id, under which we alone may have credited it."""
    unnamed = before(verdict, namespace=purchase().payment_intent, corrected=corrected)

    assert continued(purchase(), unnamed).moved is corrected


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("verdict", [None, *Verdict])
def test_a_corrected_purchase_that_moved(verdict: Verdict | None, elsewhere: dict[str, Any]) -> None:
    """A correction of ours may be a credit under the old name, whatever the verdict was."""
    assert continued(purchase(), before(verdict, corrected=True, **elsewhere)).moved


@pytest.mark.parametrize("verdict", [None, *Verdict])
def test_a_purchase_that_moved_once_has_moved_for_good(verdict: Verdict | None) -> None:
    """It stays so in runs in which nothing changes, and whatever it was judged to be since."""
    assert continued(purchase(), before(verdict, moved=True)).moved


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("verdict", [None, *Verdict])
def test_a_rule_that_changed(verdict: Verdict | None, *, corrected: bool) -> None:
    """What is settled or corrected keeps what it earned, and the rule's name; the rest does not."""
    old = before(verdict, corrected=corrected, entitlement=3 * WEI_PER_UCRED, rule="the old one")
    found = continued(purchase(), old)

    keeps = corrected or verdict in SETTLED
    expected = old if keeps else purchase()
    assert (expected.entitlement, expected.rule) == (found.entitlement, found.rule)
    assert not found.moved


@pytest.mark.parametrize("off", [timedelta(minutes=-35), timedelta(), timedelta(minutes=35)])
def test_no_certificate_is_older_than_its_payment(off: timedelta) -> None:
    """A payments API whose clock is slow shortens nobody's grace: the payment's own time is Stripe's."""
    known = PAYMENT.paid
    assert known is not None

    found = purchase(issuances=[issued(issued=known + off)])

    assert found.due_since == known + max(off, timedelta())
