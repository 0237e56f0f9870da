"""Purchases put together from the mirrors, and the verdicts that were reached about them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    exists,
    func,
    select,
    update,
)

from ucred_pipeline.domain.clock import from_micros, to_micros
from ucred_pipeline.domain.corrections import ACTIVE, WITHDRAWN, CorrectionState, PlanItem
from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.domain.purchases import (
    Before,
    Purchase,
    Sources,
    continued,
    left_behind,
    paid_elsewhere,
    purchase_of,
)
from ucred_pipeline.domain.rewards import RewardTable
from ucred_pipeline.domain.verdicts import Reason, Verdict
from ucred_pipeline.ledger.mirror import mark_accounts_left, mark_groups
from ucred_pipeline.ledger.reads import LAST_AUDIT, leave_note, note
from ucred_pipeline.ledger.safety import THE_EPOCH, current_epoch
from ucred_pipeline.ledger.schema import (
    accounts_left,
    balances,
    corrections,
    dirty_groups,
    dirty_payments,
    issuances,
    payment_records,
    payments,
    purchases,
)
from ucred_pipeline.ledger.upsert import chunks, named, row_of, upsert

#: Reasons for which a verdict was left as it was, until there is newer evidence.
_PROVISIONAL: Final = (
    Reason.BALANCE_OUTDATED,
    Reason.BALANCE_UNKNOWN,
    Reason.SIBLING_IN_DOUBT,
    Reason.SIBLING_WITHIN_GRACE,
    Reason.STRIPE_NOT_WHOLE,
)
#: The note of which purchases were young when they were judged last: those that fell due after it.
_YOUNG_SINCE: Final = "young_since_us"
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

_MARKED: Final = select(dirty_payments.c.payment_intent)
#: Whether a purchase waits for time to pass, was young lately, or lacks evidence that is to come.
_WAITS: Final = (
    purchases.c.verdict.is_(None)
    | (func.coalesce(purchases.c.due_since, purchases.c.created) > bindparam("young_since"))
    | purchases.c.verdict.in_([Verdict.PENDING, Verdict.IN_DOUBT])
    | purchases.c.reason.in_([str(reason) for reason in _PROVISIONAL])
)
_CLEARING: Final = delete(dirty_groups)
_CLEARING_PAYMENTS: Final = delete(dirty_payments)
_WAITING: Final = select(purchases.c.judged_with).where(_WAITS)
_STORING_VERDICTS: Final = (
    update(purchases)
    .where(purchases.c.payment_intent == bindparam("of"))
    .values(
        verdict=bindparam("its_verdict"),
        basis=bindparam("its_basis"),
        reason=bindparam("its_reason"),
        judged=bindparam("at"),
    )
)
_SETTLED: Final = purchases.c.verdict.in_([Verdict.CREDITED, Verdict.FOREIGN, Verdict.WITHDRAWN])
_IS_TO_BE_READ: Final = (
    balances.c.began.is_(None)
    | (balances.c.began < bindparam("before"))
    | dirty_groups.c.judged_with.is_not(None)
    | _WAITS
    | ~_SETTLED
)
_HOLDS_AT_ROOT: Final = balances.c.root.is_not(None) & (balances.c.root == bindparam("root"))
_ACCOUNTS_TO_READ: Final = (
    select(purchases.c.account)
    .outerjoin(balances, balances.c.account == purchases.c.account)
    .outerjoin(dirty_groups, dirty_groups.c.judged_with == purchases.c.judged_with)
    .where(
        purchases.c.account.is_not(None),
        ~purchases.c.is_foreign,
        _IS_TO_BE_READ,
        func.coalesce(~_HOLDS_AT_ROOT, True),
    )
    .distinct()
    .order_by(purchases.c.account)
)
_NAMED: Final = purchases.c.payment_intent.in_(bindparam("names", expanding=True))
_GROUPS: Final = select(purchases.c.payment_intent, purchases.c.judged_with).where(_NAMED)
_CORRECTED: Final = exists().where(
    corrections.c.payment_intent == purchases.c.payment_intent,
    corrections.c.epoch == THE_EPOCH,
    corrections.c.state.not_in(sorted(WITHDRAWN)),
)
_HAS_LEFT: Final = exists().where(accounts_left.c.payment_intent == purchases.c.payment_intent)
_BEFORE: Final = select(
    purchases.c.payment_intent,
    purchases.c.account,
    purchases.c.namespace,
    purchases.c.entitlement,
    purchases.c.rule,
    purchases.c.verdict,
    purchases.c.moved,
    _CORRECTED.label("corrected"),
    ((purchases.c.issued_rows > 0) | _HAS_LEFT).label("certified"),
).where(_NAMED)
_COUNTED: Final = (
    select(purchases.c.verdict, func.count())
    .where(
        purchases.c.verdict.in_([Verdict.CREDITED, Verdict.LACKING, Verdict.OVER_CREDITED]),
        purchases.c.due_since >= bindparam("since"),
    )
    .group_by(purchases.c.verdict)
)
_VERDICTS: Final = select(purchases.c.payment_intent, purchases.c.verdict).where(
    _NAMED, purchases.c.verdict.is_not(None)
)
_UNDER_WAY_OR_REFUSED: Final = select(corrections.c.payment_intent).where(
    corrections.c.state.in_([CorrectionState.REFUSED, *sorted(ACTIVE)]), corrections.c.epoch == THE_EPOCH
)
_LACKING: Final = (
    select(purchases)
    .where(
        purchases.c.verdict == Verdict.LACKING,
        purchases.c.account.is_not(None),
        purchases.c.namespace.is_not(None),
        purchases.c.payment_intent.not_in(_UNDER_WAY_OR_REFUSED),
    )
    .order_by(purchases.c.created, purchases.c.payment_intent)
)
_PLANNED_KINDS: Final = select(corrections.c.payment_intent, corrections.c.kind).where(
    corrections.c.state == CorrectionState.PLANNED, corrections.c.epoch == THE_EPOCH
)
_GROUP_MARKED: Final = select(dirty_groups).where(dirty_groups.c.judged_with == bindparam("group"))
_HELD: Final = select(balances.c.wei, balances.c.began, balances.c.root).where(
    balances.c.account == bindparam("account")
)
_KNOWN_BEFORE: Final = ("account", "namespace", "entitlement", "rule", "moved", "corrected", "certified")
_EVER_ON: Final = (
    select(purchases.c.payment_intent)
    .where(purchases.c.account == bindparam("account"))
    .union(select(accounts_left.c.payment_intent).where(accounts_left.c.account == bindparam("account")))
)
_YOUNG_ON: Final = (
    select(purchases.c.payment_intent)
    .outerjoin(issuances, issuances.c.payment_intent == purchases.c.payment_intent)
    .where(
        purchases.c.payment_intent.in_(_EVER_ON),
        (purchases.c.due_since >= bindparam("issued_before"))
        | (issuances.c.issued >= bindparam("issued_before")),
    )
    .limit(1)
)
_DUE: Final = select(func.coalesce(purchases.c.due_since, purchases.c.created)).where(
    purchases.c.payment_intent == bindparam("payment_intent")
)


@dataclass(frozen=True, slots=True)
class PurchaseRules:
    """What purchases earn, and which metadata keys tell friends and family."""

    rewards: RewardTable
    friends_and_family_keys: tuple[str, ...]


def refresh_purchases(connection: Connection, rules: PurchaseRules) -> int:
    """Put every marked payment together anew, and mark the accounts that it concerns."""
    marked = list(connection.execute(_MARKED).scalars())
    for chunk in chunks(marked):
        _refresh(connection, chunk, rules)
    if marked:
        connection.execute(_CLEARING_PAYMENTS)
    return len(marked)


def mark_all(connection: Connection) -> None:
    """Mark every payment: the rules by which they are put together have changed."""
    everything = select(payments.c.payment_intent).union(
        select(payment_records.c.payment_intent), select(issuances.c.payment_intent)
    )
    named = connection.execute(everything).scalars()
    upsert(connection, dirty_payments, [{"payment_intent": name} for name in named])


def mark_all_accounts(connection: Connection) -> None:
    """Mark every account: what may be assumed of the evidence has changed."""
    mark_groups(connection, connection.execute(select(purchases.c.judged_with).distinct()).scalars())


def mark_pending(connection: Connection) -> None:
    """Mark the accounts whose verdicts change with time alone."""
    waiting = connection.execute(_WAITING, {"young_since": _young_since(connection)})
    mark_groups(connection, waiting.scalars())


def note_young(connection: Connection, since: datetime) -> None:
    """Keep which purchases were judged while they were young: whatever was said of them may change."""
    leave_note(connection, _YOUNG_SINCE, to_micros(since))


def _young_since(connection: Connection) -> datetime:
    noted = note(connection, _YOUNG_SINCE)
    return _NEVER if noted is None else from_micros(noted)


def store_verdicts(connection: Connection, verdicts: Sequence[Mapping[str, Any]], at: datetime) -> None:
    """Write verdicts (payment_intent, verdict, basis, reason) that changed."""
    if not verdicts:
        return
    rows = [
        {
            "of": row["payment_intent"],
            "its_verdict": row["verdict"],
            "its_basis": row["basis"],
            "its_reason": row["reason"],
            "at": at,
        }
        for row in verdicts
    ]
    connection.execute(_STORING_VERDICTS, rows)


def clear_marks(connection: Connection) -> None:
    """Everything that was marked has been judged."""
    connection.execute(_CLEARING)


def count_verdicts(connection: Connection) -> dict[str, int]:
    """How many purchases have each verdict; all of the verdicts are named."""
    counted = select(purchases.c.verdict, func.count()).group_by(purchases.c.verdict)
    found: dict[str | None, int] = dict(connection.execute(counted).all())
    return {verdict.value: found.get(verdict.value, 0) for verdict in Verdict}


def wei_judged_as(connection: Connection, verdict: Verdict) -> int:
    """What the purchases with a verdict earn, in wei."""
    p = purchases.c
    chosen = select(p.entitlement, func.count()).where(p.verdict == verdict).group_by(p.entitlement)
    return sum(wei * count for wei, count in connection.execute(chosen))


def accounts_to_read(connection: Connection, before: datetime, root: str) -> list[str]:
    """The accounts whose balance must be read: unsettled, marked, never read, or not read since `before`.

    One whose balance is known to hold at the present `root` need not be read again.
    """
    told = {"before": before, "root": root, "young_since": _young_since(connection)}
    chosen = connection.execute(_ACCOUNTS_TO_READ, told).scalars()
    return [account for account in chosen if account is not None]


def _refresh(connection: Connection, names: list[str], rules: PurchaseRules) -> None:
    before, groups = _before(connection, names), _groups_of(connection, names)
    left = _accounts_left(connection, names)
    found: dict[str, Purchase] = {}
    paid_as: dict[str, str] = {}
    for sources in _sources(connection, names):
        name = sources.payment_intent
        fresh = purchase_of(sources, rules.rewards, rules.friends_and_family_keys)
        if fresh is None:
            continue
        elsewhere = paid_elsewhere(sources, fresh.account)
        if elsewhere is not None and elsewhere not in left[name]:
            paid_as[name] = elsewhere
        found[name] = _continued(fresh, before.get(name), left[name])
    gone = set(before) - set(found)
    _keep_left(connection, paid_as, at_stripe=True)
    _keep_left(connection, _left_behind(before, found), at_stripe=False)
    if gone:
        connection.execute(delete(purchases).where(purchases.c.payment_intent.in_(sorted(gone))))
    upsert(connection, purchases, [row_of(purchase) for purchase in found.values()])
    mark_groups(connection, {*groups.values(), *(purchase.judged_with for purchase in found.values())})
    mark_accounts_left(connection, names)


def _before(connection: Connection, names: list[str]) -> dict[str, Before]:
    rows = connection.execute(_BEFORE, {"names": names}).mappings()
    return {
        row["payment_intent"]: Before(
            **{name: row[name] for name in _KNOWN_BEFORE},
            verdict=Verdict(row["verdict"]) if row["verdict"] else None,
        )
        for row in rows
    }


def _accounts_left(connection: Connection, names: list[str]) -> Mapping[str, set[str]]:
    """The accounts that purchases have had; of Stripe's address alone none has moved."""
    left: defaultdict[str, set[str]] = defaultdict(set)
    for row in _named(connection, accounts_left, names):
        if not row["at_stripe"]:
            left[row["payment_intent"]].add(row["account"])
    return left


def _continued(fresh: Purchase, before: Before | None, left: set[str]) -> Purchase:
    """Carry over what was; one that has another account now than it once left has moved, though unseen."""
    now = fresh if before is None else continued(fresh, before)
    return replace(now, moved=now.moved or not left <= {now.account})


def _left_behind(before: Mapping[str, Before], now: Mapping[str, Purchase]) -> dict[str, str]:
    left = {name: left_behind(now.get(name), known) for name, known in before.items()}
    return {name: account for name, account in left.items() if account}


def _keep_left(connection: Connection, left: Mapping[str, str], *, at_stripe: bool) -> None:
    rows = [
        {"payment_intent": name, "account": account, "at_stripe": at_stripe} for name, account in left.items()
    ]
    upsert(connection, accounts_left, rows)


def _groups_of(connection: Connection, names: list[str]) -> dict[str, str]:
    return dict(connection.execute(_GROUPS, {"names": names}).all())


def _sources(connection: Connection, names: list[str]) -> Iterator[Sources]:
    paid = {row["payment_intent"]: row for row in _named(connection, payments, names)}
    recorded = {row["payment_intent"]: row for row in _named(connection, payment_records, names)}
    issued: dict[str, list[Issuance]] = {}
    for row in _named(connection, issuances, names):
        issued.setdefault(row["payment_intent"], []).append(Issuance(**row))
    for name in names:
        yield Sources(
            payment_intent=name,
            payment=payment_of(paid[name]) if name in paid else None,
            record=PaymentRecord(**recorded[name]) if name in recorded else None,
            issuances=issued.get(name, []),
        )


def _named(connection: Connection, table: Any, names: list[str]) -> Iterator[Any]:
    return iter(connection.execute(named(table.c.payment_intent), {"names": names}).mappings())


def payment_of(row: Mapping[str, Any]) -> Payment:
    """Give a mirrored payment back as it was read."""
    told = {name: value for name, value in row.items() if name != "read"}
    return Payment(id=told.pop("payment_intent"), dispute=Dispute(told.pop("dispute")), **told)


@dataclass(frozen=True, slots=True)
class Days:
    """Which purchases a run plans for: those whose payment was created in `[since, until)`."""

    since: datetime | None = None
    until: datetime | None = None

    def among(self, chosen: Select[Any]) -> Select[Any]:
        """Limit a choice of purchases to these days."""
        if self.since is not None:
            chosen = chosen.where(purchases.c.created >= self.since)
        if self.until is not None:
            chosen = chosen.where(purchases.c.created < self.until)
        return chosen


def lacking_items(connection: Connection, days: Days) -> list[PlanItem]:
    """What lacks within the days, the oldest first, without what is under way or was refused."""
    found = connection.execute(days.among(_LACKING)).all()
    if not found:
        return []
    epoch, kinds = current_epoch(connection), _planned_kinds(connection)
    return [
        PlanItem(
            payment_intent=row.payment_intent,
            namespace=row.namespace,
            account=row.account,
            amount=row.entitlement,
            kind=kinds.get(row.payment_intent, CorrectionKind.CORRECTION),
            epoch=epoch,
        )
        for row in found
    ]


def _planned_kinds(connection: Connection) -> dict[str, CorrectionKind]:
    """A credit that support began and that is still planned goes on as support's."""
    return {row.payment_intent: CorrectionKind(row.kind) for row in connection.execute(_PLANNED_KINDS)}


def lacking_share(connection: Connection, since: datetime) -> tuple[int, int]:
    """Count the purchases that fell due since then and are settled, and those of them that lack."""
    counts: dict[str | None, int] = dict(connection.execute(_COUNTED, {"since": since}).all())
    return sum(counts.values()), counts.get(Verdict.LACKING, 0)


def verdicts_of(connection: Connection, payment_intents: Sequence[str]) -> dict[str, Verdict]:
    """The verdicts of the purchases that have one."""
    found: dict[str, Verdict] = {}
    for chunk in chunks(payment_intents):
        rows = connection.execute(_VERDICTS, {"names": chunk})
        found.update({row.payment_intent: Verdict(row.verdict) for row in rows})
    return found


def judged_balance(connection: Connection, account: str) -> int | None:
    """The balance on which an account was judged, in wei; None where something has changed since."""
    since = connection.execute(_GROUP_MARKED, {"group": account}).first()
    return None if since else mirrored_balance(connection, account)


def mirrored_balance(connection: Connection, account: str) -> int | None:
    """What an account holds as far as is known, in wei, judged or not."""
    return connection.execute(_HELD, {"account": account}).scalar()


def account_is_quiet(connection: Connection, account: str, issued_before: datetime) -> bool:
    """Whether the payments API is done with the account: no certificate, voided or not, is so young."""
    return connection.execute(_YOUNG_ON, {"account": account, "issued_before": issued_before}).first() is None


def is_past_grace(connection: Connection, payment_intent: str, due_before: datetime) -> bool:
    """Whether the payments API is done with a purchase; a verdict may have been given by a wrong clock."""
    due = connection.execute(_DUE, {"payment_intent": payment_intent}).scalar()
    return due is not None and due <= due_before


@dataclass(frozen=True, slots=True)
class BalanceSeen:
    """An account's balance in wei, and the newest moment as of which it is known to hold."""

    wei: int
    as_of: datetime


def balance_seen(connection: Connection, account: str) -> BalanceSeen | None:
    """Read a mirrored balance; one whose root is still the indexer's holds as of the last audit."""
    row = connection.execute(_HELD, {"account": account}).first()
    if row is None:
        return None
    audit = note(connection, LAST_AUDIT)
    still_holds = audit is not None and row.root == audit["root"]
    return BalanceSeen(row.wei, max(row.began, from_micros(audit["began_us"])) if still_holds else row.began)


@dataclass(frozen=True, slots=True)
class JudgedPurchase:
    """A purchase as it was judged; the entitlement is in wei."""

    payment_intent: str
    judged_with: str
    account: str | None
    namespace: str | None
    purchase_type: str
    entitlement: int
    rule: str
    created: datetime
    issued: datetime | None
    due_since: datetime | None
    verdict: str | None
    basis: str | None
    reason: str | None


def find_purchase(connection: Connection, payment_intent: str) -> JudgedPurchase | None:
    """Read a purchase by its PaymentIntent."""
    found = find_purchases(connection, purchases.c.payment_intent == payment_intent)
    return found[0] if found else None


def purchases_among(connection: Connection, payment_intents: Sequence[str]) -> list[JudgedPurchase]:
    """Read those of the PaymentIntents that are purchases, the oldest first."""
    return find_purchases(connection, purchases.c.payment_intent.in_(payment_intents))


def find_purchases(connection: Connection, condition: ColumnElement[bool]) -> list[JudgedPurchase]:
    """Read the purchases that meet a condition, the oldest first."""
    chosen = select(*(purchases.c[name] for name in JudgedPurchase.__dataclass_fields__)).where(condition)
    ordered = chosen.order_by(purchases.c.created, purchases.c.payment_intent)
    return [JudgedPurchase(*row) for row in connection.execute(ordered)]
