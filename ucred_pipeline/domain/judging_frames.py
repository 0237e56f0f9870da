"""What the judge is given: a table of purchases, a table of accounts, and what may be assumed.

Every purchase of each account, of all time, is a row of `purchases`:

| column | type | meaning |
| --- | --- | --- |
| payment_intent | str | the identity; unique |
| account | str or None | None when no record names a customer |
| namespace | str or None | its name for people |
| foreign | bool | neither the payments database nor `rarity_tier` in the metadata knows it |
| succeeded | bool | the money arrived |
| payment_known | bool | Stripe returned this payment |
| stripe_whole | bool | Stripe was read whole for its time of creation |
| refunded | bool | fully |
| disputed | bool | a dispute is open or lost |
| issued_rows | int | issuances in the state `issued` |
| voided | bool | an issuance is voided, and none is issued |
| created_us | int | creation of the payment, in microseconds; the oldest is covered first |
| due_since_us | int or None | when the certificate was issued; -1 or None: when the payment was created |
| needs_certificate | bool | from the reward rule |
| entitlement | exact wei | Python integers or decimal strings |
| previous_verdict | str or None | what was concluded before |
| receipts | int | confirmed corrections of ours in this epoch |
| doubt | bool | a correction is claimed, sending, in doubt or quarantined |
| lines | int | how often lines of the current life that name it, in no receipt, come to what it earns |
| credited_in_part | bool | whether such lines leave a rest that is less than it earns |
| corrected | bool | one of those lines is of a correction of ours, of an earlier epoch or a lost ledger |
| lines_other_case | int | such lines, and mints by the other log, of its namespace on another account |
| minted | bool | the payments API's log says Minted, in the indexer's current life |
| mint_refused | bool | its log says that the mint of this purchase alone was refused with an HTTP status |
| shares_namespace | bool | another purchase claims the same namespace and account |
| addresses_differ | bool | the payments database's two addresses are not the same bytes |
| stripe_address_differs | bool | Stripe has another address than the account's, whatever the capitals |
| name_unreadable | bool | its account or namespace is empty, or cannot be read back from a log |
| unexplained | bool | a credit of the account, and no top-up, names no purchase that is known |
| decision | str or None | a person's: `credited` or `not_credited` |

Every account whose balance may serve as evidence is a row of `accounts`:

| column | type | meaning |
| --- | --- | --- |
| account | str | unique |
| balance | exact wei or None | None when it was never read |
| as_of_us | int | when the read began; -1 when there was none |
| known_other_wei | exact wei | genesis and attributed top-ups in the indexer's current life |
| proof_us | int or None | by when the newest credit that is counted as known had taken effect; -1: none |

What credits that name a purchase come to beyond what `receipts` and `lines` count, `known_other_wei` takes;
it may be negative. A balance that was read before `proof_us` is no evidence: it may
lack a credit that is counted as known, and then another purchase would seem to lack.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.domain.wei_arrays import Bools, Ints, WeiArray, read_amounts

_T = TypeVar("_T", bound=np.generic)


class InvalidEvidence(ValueError):
    """What the judge was given is not as it must be; nothing is decided from it."""


class PurchaseColumn(StrEnum):
    """A column of the table of purchases."""

    PAYMENT_INTENT = "payment_intent"
    ACCOUNT = "account"
    NAMESPACE = "namespace"
    FOREIGN = "foreign"
    SUCCEEDED = "succeeded"
    PAYMENT_KNOWN = "payment_known"
    STRIPE_WHOLE = "stripe_whole"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    ISSUED_ROWS = "issued_rows"
    VOIDED = "voided"
    CREATED_US = "created_us"
    DUE_SINCE_US = "due_since_us"
    NEEDS_CERTIFICATE = "needs_certificate"
    ENTITLEMENT = "entitlement"
    PREVIOUS_VERDICT = "previous_verdict"
    RECEIPTS = "receipts"
    DOUBT = "doubt"
    LINES = "lines"
    CREDITED_IN_PART = "credited_in_part"
    CORRECTED = "corrected"
    LINES_OTHER_CASE = "lines_other_case"
    MINTED = "minted"
    MINT_REFUSED = "mint_refused"
    SHARES_NAMESPACE = "shares_namespace"
    ADDRESSES_DIFFER = "addresses_differ"
    STRIPE_ADDRESS_DIFFERS = "stripe_address_differs"
    NAME_UNREADABLE = "name_unreadable"
    UNEXPLAINED = "unexplained"
    DECISION = "decision"


class AccountColumn(StrEnum):
    """A column of the table of accounts."""

    ACCOUNT = "account"
    BALANCE = "balance"
    AS_OF_US = "as_of_us"
    KNOWN_OTHER_WEI = "known_other_wei"
    PROOF_US = "proof_us"


class Decision(StrEnum):
    """What a person decided about a purchase."""

    CREDITED = "credited"
    NOT_CREDITED = "not_credited"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What may be assumed of the evidence as a whole.

    `log_complete`: the indexer's log is proved complete by replay up to `log_as_of_us`.
    `minted_wei`: what the payments API mints for a purchase, whatever that earns (None: what it earns).
    `other_writers`: others may have credited what no log shows. `debits_possible`: balances may fall.
    """

    now_us: int
    grace_us: int
    log_complete: bool = False
    log_as_of_us: int = -1
    other_writers: bool = True
    debits_possible: bool = False
    minted_wei: int | None = None

    def __post_init__(self) -> None:
        if self.grace_us <= 0:
            message = "the grace period must be longer than nothing"
            raise InvalidEvidence(message)

    @property
    def log_proves_absence(self) -> bool:
        """Whether a missing line proves a missing credit; a replay does not where debits are possible."""
        return self.log_complete and not self.debits_possible


def _require(frame: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    missing = [str(column) for column in columns if column not in frame.columns]
    if missing:
        message = f"the table of {name} lacks: {', '.join(missing)}"
        raise InvalidEvidence(message)


def _refuse_missing(column: "pd.Series[Any]") -> None:
    if column.isna().any():
        message = f"{column.name}: a value is missing"
        raise InvalidEvidence(message)


def _flags(column: "pd.Series[Any]") -> Bools:
    """Read true and false; SQLite writes them as 1 and 0."""
    _refuse_missing(column)
    if column.dtype.kind != "b" and not column.isin([True, False]).all():
        message = f"{column.name}: a value is neither true nor false"
        raise InvalidEvidence(message)
    return column.to_numpy(dtype=np.bool_)


def _whole_numbers(column: "pd.Series[Any]") -> Ints:
    _refuse_missing(column)
    if len(column) and pd.api.types.infer_dtype(column) != "integer":
        message = f"{column.name}: a value is not a whole number"
        raise InvalidEvidence(message)
    return column.to_numpy(dtype=np.int64)


def _counts(column: "pd.Series[Any]") -> Ints:
    counts = _whole_numbers(column)
    if (counts < 0).any():
        message = f"{column.name}: a count is negative"
        raise InvalidEvidence(message)
    return counts


def _moments(column: "pd.Series[Any]") -> Ints:
    """Read microseconds; a missing one is -1."""
    if column.dtype.kind == "f":
        message = f"{column.name}: a value is not a whole number; write -1 for a moment that is not known"
        raise InvalidEvidence(message)
    return _whole_numbers(column if column.dtype.kind in "iu" else column.where(column.notna(), -1))


def _choices(column: "pd.Series[Any]", kind: type[StrEnum]) -> dict[str, Bools]:
    """Tell for each word of a closed list which rows have it."""
    codes, words = pd.factorize(column)
    unknown = sorted(set(map(str, words)) - set(kind))
    if unknown:
        message = f"{column.name}: not one of its words: {', '.join(unknown)}"
        raise InvalidEvidence(message)
    places = {str(word): place for place, word in enumerate(words)}
    # A word that no row has stands at a place that no code has.
    return {word: np.equal(codes, places.get(word, len(places))) for word in kind}


def _owned_amounts(column: "pd.Series[Any]") -> tuple[WeiArray, Bools]:
    amounts, known = read_amounts(column)
    if not amounts.fits_128_bits().all():
        message = f"{column.name}: an amount is not an unsigned integer of 128 bits"
        raise InvalidEvidence(message)
    return amounts, known


def _known_amounts(column: "pd.Series[Any]") -> WeiArray:
    _refuse_missing(column)
    return read_amounts(column)[0]


def _identities(column: "pd.Series[Any]") -> "pd.Series[Any]":
    _refuse_missing(column)
    if not _names(column).is_unique:
        message = f"{column.name}: the same one twice"
        raise InvalidEvidence(message)
    return column


def _names(column: "pd.Series[Any] | pd.Index") -> pd.Index:
    """Give names as they are, whatever way of storing text the table has."""
    names: pd.Index = pd.Index(np.asarray(column, dtype=object))
    return names


def _account_codes(column: "pd.Series[Any]") -> tuple[Ints, pd.Index]:
    """Number the accounts, byte for byte; -1 is none."""
    codes, names = pd.factorize(column)
    return codes.astype(np.int64), _names(names)


def _entitlements(column: "pd.Series[Any]") -> WeiArray:
    _refuse_missing(column)
    return _owned_amounts(column)[0]


@dataclass(frozen=True)
class PurchaseFacts:
    """The table of purchases as arrays, in its own order; `account` numbers the accounts, -1 is none."""

    payment_intent: "pd.Series[Any]"
    namespace: "pd.Series[Any]"
    account: Ints
    account_names: pd.Index
    foreign: Bools
    succeeded: Bools
    payment_known: Bools
    stripe_whole: Bools
    refunded: Bools
    disputed: Bools
    issued_rows: Ints
    voided: Bools
    created_us: Ints
    due_since_us: Ints
    needs_certificate: Bools
    entitlement: WeiArray
    previously: dict[str, Bools]
    receipts: Ints
    doubt: Bools
    lines: Ints
    credited_in_part: Bools
    corrected: Bools
    lines_other_case: Ints
    minted: Bools
    mint_refused: Bools
    shares_namespace: Bools
    addresses_differ: Bools
    stripe_address_differs: Bools
    name_unreadable: Bools
    unexplained: Bools
    decided: dict[str, Bools]

    @classmethod
    def read(cls, frame: pd.DataFrame) -> Self:
        """Read and check the table."""
        _require(frame, PurchaseColumn, "purchases")
        column = frame.reset_index(drop=True).__getitem__
        codes, names = _account_codes(column(PurchaseColumn.ACCOUNT))
        return cls(
            payment_intent=_identities(column(PurchaseColumn.PAYMENT_INTENT)),
            namespace=column(PurchaseColumn.NAMESPACE),
            account=codes,
            account_names=names,
            foreign=_flags(column(PurchaseColumn.FOREIGN)),
            succeeded=_flags(column(PurchaseColumn.SUCCEEDED)),
            payment_known=_flags(column(PurchaseColumn.PAYMENT_KNOWN)),
            stripe_whole=_flags(column(PurchaseColumn.STRIPE_WHOLE)),
            refunded=_flags(column(PurchaseColumn.REFUNDED)),
            disputed=_flags(column(PurchaseColumn.DISPUTED)),
            issued_rows=_counts(column(PurchaseColumn.ISSUED_ROWS)),
            voided=_flags(column(PurchaseColumn.VOIDED)),
            created_us=_whole_numbers(column(PurchaseColumn.CREATED_US)),
            due_since_us=_moments(column(PurchaseColumn.DUE_SINCE_US)),
            needs_certificate=_flags(column(PurchaseColumn.NEEDS_CERTIFICATE)),
            entitlement=_entitlements(column(PurchaseColumn.ENTITLEMENT)),
            previously=_choices(column(PurchaseColumn.PREVIOUS_VERDICT), Verdict),
            receipts=_counts(column(PurchaseColumn.RECEIPTS)),
            doubt=_flags(column(PurchaseColumn.DOUBT)),
            lines=_counts(column(PurchaseColumn.LINES)),
            credited_in_part=_flags(column(PurchaseColumn.CREDITED_IN_PART)),
            corrected=_flags(column(PurchaseColumn.CORRECTED)),
            lines_other_case=_counts(column(PurchaseColumn.LINES_OTHER_CASE)),
            minted=_flags(column(PurchaseColumn.MINTED)),
            mint_refused=_flags(column(PurchaseColumn.MINT_REFUSED)),
            shares_namespace=_flags(column(PurchaseColumn.SHARES_NAMESPACE)),
            addresses_differ=_flags(column(PurchaseColumn.ADDRESSES_DIFFER)),
            stripe_address_differs=_flags(column(PurchaseColumn.STRIPE_ADDRESS_DIFFERS)),
            name_unreadable=_flags(column(PurchaseColumn.NAME_UNREADABLE)),
            unexplained=_flags(column(PurchaseColumn.UNEXPLAINED)),
            decided=_choices(column(PurchaseColumn.DECISION), Decision),
        )

    def __len__(self) -> int:
        return len(self.account)

    @cached_property
    def by_age(self) -> Ints:
        """The rows that have an account: account by account, the oldest first, ties by payment intent."""
        rows = np.flatnonzero(self.account >= 0)
        order = rows[np.lexsort((self.created_us[rows], self.account[rows]))]
        tied = np.zeros(len(order), dtype=np.bool_)
        tied[1:] = (np.diff(self.account[order]) == 0) & (np.diff(self.created_us[order]) == 0)
        tied[:-1] |= tied[1:]
        order[tied] = self._with_ties_broken(order[tied])
        return order

    def _with_ties_broken(self, rows: Ints) -> Ints:
        """Order a few rows by payment intent as well: no whole table needs its texts sorted."""
        ranks, _ = pd.factorize(self.payment_intent.iloc[rows], sort=True)
        return rows[np.lexsort((ranks, self.created_us[rows], self.account[rows]))]


def _spread(values: npt.NDArray[_T], places: Ints, over: npt.NDArray[_T]) -> npt.NDArray[_T]:
    over[places] = values
    return over


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is known of each account's balance, by the number of the account."""

    balance: WeiArray
    balance_known: Bools
    as_of_us: Ints
    known_other: WeiArray
    proof_us: Ints

    @classmethod
    def read(cls, frame: pd.DataFrame, account_names: pd.Index) -> Self:
        """Read and check the table, for the accounts that have purchases."""
        _require(frame, AccountColumn, "accounts")
        column = frame.reset_index(drop=True).__getitem__
        places = account_names.get_indexer(_names(_identities(column(AccountColumn.ACCOUNT))))
        rows = np.flatnonzero(places >= 0)
        return cls._placed(places[rows], len(account_names), lambda name: column(name).iloc[rows])

    @classmethod
    def _placed(cls, places: Ints, count: int, column: Callable[[str], "pd.Series[Any]"]) -> Self:
        balance, known = _owned_amounts(column(AccountColumn.BALANCE))
        others = _known_amounts(column(AccountColumn.KNOWN_OTHER_WEI))
        nothing = WeiArray.zeros(count)
        return cls(
            balance=nothing.replaced(places, balance),
            balance_known=_spread(known, places, np.zeros(count, dtype=np.bool_)),
            as_of_us=_spread(_moments(column(AccountColumn.AS_OF_US)), places, np.full(count, -1)),
            known_other=nothing.replaced(places, others),
            proof_us=_spread(_moments(column(AccountColumn.PROOF_US)), places, np.full(count, -1)),
        )
