"""The tables that the judge is given, for the accounts that are marked.

A credit that names a purchase counts once: as a receipt where it is a confirmed correction of ours,
otherwise as a line. What the judge cannot attribute to a purchase is known to be another's.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    String,
    exists,
    func,
    select,
    type_coerce,
)

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.domain.corrections import ACTIVE, CorrectionState
from ucred_pipeline.domain.evidence import MintOutcome
from ucred_pipeline.domain.issuances import VOIDED
from ucred_pipeline.domain.memos import TOP_UP, is_plain
from ucred_pipeline.ledger.decisions import CALLED_NOT_CREDITED, decisions_in_force
from ucred_pipeline.ledger.mints import minted_line
from ucred_pipeline.ledger.safety import THE_EPOCH, current_epoch
from ucred_pipeline.ledger.schema import (
    accounts_left,
    balances,
    corrections,
    credit_lines,
    dirty_groups,
    issuances,
    mint_lines,
    purchases,
)

#: How near to a certificate a refused mint must be to be that certificate's, in microseconds.
_NEAR_US: Final = 600 * 10**6
#: What a credit's memo and account must both name for it to be a purchase's.
_PAIR: Final = ["account", "namespace"]
_FLAGS: Final = (
    "foreign",
    "succeeded",
    "payment_known",
    "refunded",
    "disputed",
    "voided",
    "needs_certificate",
    "addresses_differ",
    "stripe_address_differs",
)
#: Whether a purchase may have been credited on another account than it has: where it has not moved since it
#: was known, that of the address at Stripe.
PAID_ELSEWHERE: Final = exists().where(
    accounts_left.c.payment_intent == purchases.c.payment_intent,
    accounts_left.c.account != func.coalesce(purchases.c.account, ""),
)
#: As often as anybody counts: a log may tell of any amount of 128 bits.
_MOST_TIMES: Final = 1000
_NUMBERS: Final = ("issued_rows", "created_us", "due_since_us", "issued_us")


#: What a row that stands for a purchase elsewhere is: paid, certified, and for nobody to attribute.
_PRESENT: Final = (
    "succeeded", "payment_known", "needs_certificate", "stripe_whole", "addresses_differ", "is_elsewhere",
)  # fmt: skip
_ABSENT: Final = (
    "foreign", "refunded", "disputed", "voided", "doubt", "corrected", "minted", "mint_refused",
    "shares_namespace", "name_unreadable", "unexplained", "credited_in_part", "stripe_address_differs",
)  # fmt: skip
_COUNTS: Final = ("receipts", "lines", "lines_other_case")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the reads covered, in UTC microseconds.

    Payments created from `stripe_since_us` up to `stripe_until_us` were read whole. A balance that
    is known to hold at `root` holds as of `root_as_of_us`. The indexer's present life began at
    `life_began_us` (0 where only one life is known). Its clock may be off from ours by `skew_us`.
    """

    stripe_since_us: int
    stripe_until_us: int
    root: str | None
    root_as_of_us: int
    life_began_us: int
    skew_us: int


@dataclass(frozen=True, slots=True)
class JudgingTables:
    """What `domain.judging` takes: every purchase of the marked accounts, and those accounts.

    Some rows stand for a credit that may be on an account, of a purchase that `is_elsewhere`: it is not
    judged by them, but nobody else may be taken for credited by what may be its credit.
    """

    purchases: pd.DataFrame
    accounts: pd.DataFrame


def load_tables(connection: Connection, coverage: Coverage) -> JudgingTables:
    """Load the marked accounts' purchases and evidence."""
    frame = _purchases(connection, coverage)
    lines = _lines(connection)
    own = _corrections(connection, lines)
    frame = _with_corrections(frame, own)
    lines = lines[~lines["correction"].isin(set(_confirmed(own)["id"]))]
    named = _credits_by_name(frame, lines)
    frame = _with_lines(frame, lines, named)
    frame["corrected"] = _named_by_a_correction(frame, lines)
    mints = _mints(connection, coverage)
    frame = _with_mints(frame, mints)
    frame["name_unreadable"] = _unreadable(frame["account"]) | _unreadable(frame["namespace"])
    frame["unexplained"] = frame["account"].isin(_unexplained(frame, lines))
    frame["decision"] = frame["payment_intent"].map(decisions_in_force(connection)).astype(object)
    frame["is_elsewhere"] = False
    accounts = _balances(connection, coverage)
    others = _known_others(frame, lines, named, own)
    accounts["known_other_wei"] = pd.Series(
        [others.get(name, 0) for name in accounts["account"]], dtype=object
    )
    minted = mints[mints["outcome"] == MintOutcome.MINTED.value]
    newest = _newest_proof(lines, minted, own, coverage.skew_us).reindex(accounts["account"], fill_value=-1)
    accounts["proof_us"] = newest.to_numpy(dtype="int64")
    frame = pd.concat([frame, _elsewhere(connection, frame, coverage)], ignore_index=True)
    return JudgingTables(frame.drop(columns=["judged_with", "issued_us"]), accounts)


def _us(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return type_coerce(column, BigInteger)


def _wei(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return type_coerce(column, String)


def _frame(connection: Connection, chosen: Select[Any] | CompoundSelect[Any]) -> pd.DataFrame:
    result = connection.execute(chosen)
    names = list(result.keys())
    rows = result.fetchall()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    told = zip(names, columns, strict=True)
    return pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in told})


def _purchases(connection: Connection, coverage: Coverage) -> pd.DataFrame:
    p = purchases.c
    chosen = select(
        p.payment_intent,
        p.judged_with,
        p.account,
        p.namespace,
        p.is_foreign.label("foreign"),
        p.succeeded,
        p.payment_known,
        p.refunded,
        p.disputed,
        p.issued_rows,
        p.voided,
        _us(p.created).label("created_us"),
        func.coalesce(_us(p.due_since), -1).label("due_since_us"),
        func.coalesce(_us(p.issued), -1).label("issued_us"),
        p.needs_certificate,
        _wei(p.entitlement).label("entitlement"),
        p.verdict.label("previous_verdict"),
        p.basis.label("previous_basis"),
        p.reason.label("previous_reason"),
        (p.addresses_differ | p.moved).label("addresses_differ"),
        PAID_ELSEWHERE.label("stripe_address_differs"),
    ).join(dirty_groups, dirty_groups.c.judged_with == p.judged_with)
    frame = _frame(connection, chosen)
    frame = frame.astype(dict.fromkeys(_FLAGS, "bool") | dict.fromkeys(_NUMBERS, "int64"))
    created = frame["created_us"]
    frame["stripe_whole"] = created.between(
        coverage.stripe_since_us, coverage.stripe_until_us, inclusive="left"
    )
    return frame


def _elsewhere(connection: Connection, frame: pd.DataFrame, coverage: Coverage) -> pd.DataFrame:
    """What purchases may have left on marked accounts: those that moved, and certificates that were voided.

    A receipt there is counted already, and what a person called not credited left nothing; nor did one on
    Stripe's address that the payments API has minted for elsewhere, which it does once.
    """
    p, left, row = purchases.c, accounts_left.c, issuances.c
    told = (p.created, p.due_since, p.entitlement)
    receipt = exists().where(
        corrections.c.payment_intent == p.payment_intent,
        corrections.c.account == left.account,
        corrections.c.epoch == THE_EPOCH,
        corrections.c.state == CorrectionState.CONFIRMED,
    )
    told_here = exists().where(
        mint_lines.c.account == p.account,
        mint_lines.c.namespace == p.namespace,
        mint_lines.c.outcome == MintOutcome.MINTED.value,
        _us(mint_lines.c.at) >= coverage.life_began_us,
    )
    moved = (
        select(p.payment_intent, left.account, left.account.label("which"), *told)
        .join(accounts_left, left.payment_intent == p.payment_intent)
        .join(dirty_groups, dirty_groups.c.judged_with == left.account)
        .where(func.coalesce(p.account, "") != left.account, ~receipt, ~CALLED_NOT_CREDITED)
        .where(~(left.at_stripe & (minted_line() | told_here)))
    )
    voided = (
        select(p.payment_intent, p.account, row.id.label("which"), *told)
        .join(issuances, row.payment_intent == p.payment_intent)
        .join(dirty_groups, dirty_groups.c.judged_with == p.judged_with)
        .where(row.state == VOIDED, p.issued_rows > 0, p.account.is_not(None), ~CALLED_NOT_CREDITED)
    )
    rows = [
        dict.fromkeys(_ABSENT, False)
        | dict.fromkeys(_COUNTS, 0)
        | dict.fromkeys(_PRESENT, True)
        | {
            "payment_intent": f"{found.payment_intent} {found.which}",
            "account": found.account,
            "issued_rows": 1,
            "issued_us": -1,
            "created_us": to_micros(found.created),
            "due_since_us": -1 if found.due_since is None else to_micros(found.due_since),
            "entitlement": str(found.entitlement),
        }
        for chosen in (moved, voided)
        for found in connection.execute(chosen)
    ]
    return pd.DataFrame(rows, columns=frame.columns).astype(frame.dtypes if rows else {})


def _lines(connection: Connection) -> pd.DataFrame:
    """Current lines on a marked account, or that name a namespace of one."""
    c = credit_lines.c
    wanted = (
        select(
            c.key,
            c.account,
            c.namespace,
            c.correction,
            c.memo,
            _wei(c.amount).label("amount"),
            _us(c.at).label("at_us"),
        )
        .where(c.current)
        .distinct()
    )
    on_account = wanted.join(dirty_groups, dirty_groups.c.judged_with == c.account)
    of_namespace = wanted.join(purchases, purchases.c.namespace == c.namespace).join(
        dirty_groups, dirty_groups.c.judged_with == purchases.c.judged_with
    )
    frame = _frame(connection, on_account.union(of_namespace))
    frame["at_us"] = frame["at_us"].astype("int64")
    return frame


def _corrections(connection: Connection, lines: pd.DataFrame) -> pd.DataFrame:
    """Corrections of this epoch that were confirmed or are under way, of or on marked accounts.

    A confirmed one counts once, and again for every further line with its memo. Those of an earlier epoch
    are evidence only by their lines, as anybody's: the state that acknowledged them is lost. A credit that
    was settled later took effect at an unknown moment before it was: `known_us`.
    """
    c = corrections.c
    of_purchase = select(purchases.c.payment_intent).join(
        dirty_groups, dirty_groups.c.judged_with == purchases.c.judged_with
    )
    on_account = select(dirty_groups.c.judged_with)
    chosen = select(
        c.id,
        c.payment_intent,
        c.account,
        c.state,
        _wei(c.amount).label("amount"),
        _us(c.changed).label("known_us"),
    ).where(
        c.payment_intent.in_(of_purchase) | c.account.in_(on_account),
        c.epoch == current_epoch(connection),
        c.state.in_([CorrectionState.CONFIRMED, *sorted(ACTIVE)]),
    )
    own = _frame(connection, chosen)
    seen = own["id"].map(lines.groupby("correction", observed=True).size()).fillna(0).astype("int64")
    return own.assign(times=np.maximum(seen, 1))


def _confirmed(own: pd.DataFrame) -> pd.DataFrame:
    return own[own["state"] == CorrectionState.CONFIRMED.value]


def _with_corrections(frame: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Count receipts, and tell which purchases have a correction under way."""
    confirmed = _confirmed(own)
    receipts = confirmed["times"].groupby(confirmed["payment_intent"]).sum()
    under_way = set(own.loc[own["state"] != CorrectionState.CONFIRMED.value, "payment_intent"])
    frame["receipts"] = frame["payment_intent"].map(receipts).fillna(0).astype("int64")
    frame["doubt"] = frame["payment_intent"].isin(under_way)
    return frame


def _credits_by_name(frame: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """What the lines that name a purchase come to: `worth` times what it earns, and a `rest` in wei."""
    by_age = frame.sort_values("created_us", kind="stable")
    owed = by_age[[*_PAIR, "entitlement"]].drop_duplicates(_PAIR)
    told = lines[[*_PAIR, "amount"]].dropna(subset=["namespace"]).merge(owed, on=_PAIR, how="inner")
    named = told.groupby(_PAIR, observed=True).size().rename("found").reset_index()
    uneven = told[told["amount"] != told["entitlement"]][_PAIR].drop_duplicates()
    given = _sums_by_name(told.merge(uneven, on=_PAIR))
    rows = [(*name, *_whole_and_rest(wei, int(reward))) for (*name, reward), wei in given.items()]
    named = named.merge(pd.DataFrame(rows, columns=[*_PAIR, "worth", "rest"], dtype=object), "left", on=_PAIR)
    named["worth"] = named["worth"].fillna(named["found"]).astype("int64")
    named["rest"] = named["rest"].fillna(0)
    return named


def _sums_by_name(told: pd.DataFrame) -> dict[tuple[str, str, str], int]:
    """Sum the credits of each account, namespace and entitlement, in wei."""
    sums: dict[tuple[str, str, str], int] = {}
    for *name, amount in told[[*_PAIR, "entitlement", "amount"]].itertuples(index=False, name=None):
        sums[tuple(name)] = sums.get(tuple(name), 0) + int(amount)
    return sums


def _whole_and_rest(given: int, reward: int) -> tuple[int | None, int]:
    """How often an amount comes to a reward, and what is over; None where nothing is earned."""
    worth = min(given // reward, _MOST_TIMES) if reward else None
    return worth, given - (worth or 0) * reward


def _with_lines(frame: pd.DataFrame, lines: pd.DataFrame, named: pd.DataFrame) -> pd.DataFrame:
    """Attribute lines to purchases by account and namespace; the oldest of several takes the first."""
    ordered = frame.sort_values(["created_us", "payment_intent"], kind="stable")
    sharers = ordered.dropna(subset=_PAIR).groupby(_PAIR, observed=True)
    rank = sharers.cumcount().reindex(frame.index).fillna(0).to_numpy(dtype="int64")
    sharing = (
        sharers["payment_intent"].transform("size").reindex(frame.index).fillna(1).to_numpy(dtype="int64")
    )
    counted = frame[_PAIR].merge(named, on=_PAIR, how="left")
    found, worth = (counted[name].fillna(0).to_numpy(dtype="int64") for name in ("found", "worth"))
    is_last = rank == sharing - 1
    frame["lines"] = np.where(is_last, np.maximum(worth - rank, 0), (worth > rank).astype("int64"))
    over = (counted["rest"].fillna(0) != 0).to_numpy(dtype="bool") & (frame["entitlement"] != "0")
    frame["credited_in_part"] = over & (rank == np.minimum(worth, sharing - 1))
    frame["shares_namespace"] = sharing > 1
    frame["lines_other_case"] = _named_elsewhere(frame, lines, found)
    return frame


def _named_by_a_correction(frame: pd.DataFrame, lines: pd.DataFrame) -> Any:
    """Whether a line that is ours, and no receipt of this epoch, names the purchase."""
    ours = lines.loc[lines["correction"].notna(), _PAIR].drop_duplicates().assign(corrected=True)
    return frame[_PAIR].merge(ours, how="left", on=_PAIR)["corrected"].notna().to_numpy()


def _named_elsewhere(frame: pd.DataFrame, lines: pd.DataFrame, own_account: Any) -> Any:
    """Count the lines that name a purchase's namespace with another account than its own."""
    counts = lines.groupby("namespace", observed=True).size()
    return frame["namespace"].map(counts).fillna(0).astype("int64") - own_account


def _mints(connection: Connection, coverage: Coverage) -> pd.DataFrame:
    """What the payments API's log says of marked accounts and their namespaces, in the present life."""
    m = mint_lines.c
    wanted = select(m.key, m.account, m.namespace, m.outcome, _us(m.at).label("at_us")).where(
        _us(m.at) >= coverage.life_began_us
    )
    on_account = wanted.join(dirty_groups, dirty_groups.c.judged_with == m.account)
    of_namespace = wanted.join(purchases, purchases.c.namespace == m.namespace).join(
        dirty_groups, dirty_groups.c.judged_with == purchases.c.judged_with
    )
    return _frame(connection, on_account.union(of_namespace))


def _with_mints(frame: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    minted = told[told["outcome"] == MintOutcome.MINTED.value][_PAIR].drop_duplicates()
    named = frame[_PAIR].merge(minted.assign(minted=True), how="left", on=_PAIR)
    frame["minted"] = named["minted"].notna().to_numpy()
    frame["lines_other_case"] += _named_elsewhere(frame, minted, frame["minted"].astype("int64"))
    frame["mint_refused"] = _refused_alone(frame, told[told["outcome"] == MintOutcome.REFUSED.value])
    return frame


def _refused_alone(frame: pd.DataFrame, refused: pd.DataFrame) -> Any:
    """A refusal names the account only: it is a purchase's where no other of the account was near."""
    near = (
        refused[["account", "at_us"]]
        .reset_index(names="line")
        .merge(frame.loc[frame["issued_us"] >= 0, ["account", "issued_us", "payment_intent"]], on="account")
    )
    near = near[(near["at_us"] - near["issued_us"]).abs() <= _NEAR_US]
    alone = near[~near["line"].duplicated(keep=False)]
    return frame["payment_intent"].isin(set(alone["payment_intent"])) & ~frame["minted"]


def _balances(connection: Connection, coverage: Coverage) -> pd.DataFrame:
    b = balances.c
    chosen = select(b.account, _wei(b.wei).label("balance"), _us(b.began).label("as_of_us"), b.root).join(
        dirty_groups, dirty_groups.c.judged_with == b.account
    )
    found = _frame(connection, chosen)
    began = found["as_of_us"].astype("int64")
    still_holds = (found["root"] == coverage.root) & (coverage.root is not None)
    found["as_of_us"] = began.where(~still_holds, began.clip(lower=coverage.root_as_of_us))
    return found.drop(columns=["root"])


def _known_others(
    frame: pd.DataFrame, lines: pd.DataFrame, named: pd.DataFrame, own: pd.DataFrame
) -> dict[str, int]:
    """Wei on each account that no purchase's entitlement explains: top-ups, and what credits are over it.

    A credit that names nothing known may be any purchase's, so it is not known to be another's.
    """
    top_ups = lines[lines["memo"].str.startswith(TOP_UP).astype(bool)].assign(entitlement="0", times=1)
    rests = named.rename(columns={"rest": "amount"}).assign(entitlement=0, times=1)
    others: dict[str, int] = {}
    for known in (top_ups, rests, *_receipts(frame, own)):
        uneven = known[known["amount"] != known["entitlement"]]
        told = zip(uneven["account"], uneven["amount"], uneven["entitlement"], uneven["times"], strict=True)
        for account, amount, reward, times in told:
            others[account] = others.get(account, 0) + (int(amount) - int(reward)) * int(times)
    return others


def _unreadable(names: "pd.Series[Any]") -> "pd.Series[bool]":
    """Whether a name is empty, or would not be read back from a line of a log as it was written."""
    unreadable = {name: not name or not is_plain(name) for name in names.dropna().unique()}
    return names.map(unreadable).fillna(value=False).astype(bool)


def _unexplained(frame: pd.DataFrame, lines: pd.DataFrame) -> set[str]:
    """The accounts with a credit that is neither a top-up nor names a purchase that is known."""
    named = frame[_PAIR].dropna().assign(known=True).drop_duplicates()
    found = lines.merge(named, on=_PAIR, how="left")
    strays = found[found["known"].isna() & ~found["memo"].str.startswith(TOP_UP).astype(bool)]
    return set(strays["account"])


def _receipts(frame: pd.DataFrame, own: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What corrections put on an account, against what the judge counts for their purchases.

    They are on the same account unless a purchase has moved since: then one has it, and the other not.
    """
    confirmed = _confirmed(own)
    rewards = frame[["payment_intent", "account", "entitlement"]]
    counted = confirmed[["payment_intent", "times"]].merge(rewards, on="payment_intent", how="inner")
    return confirmed.assign(entitlement="0"), counted.assign(amount="0")


def _newest_proof(
    lines: pd.DataFrame, mints: pd.DataFrame, own: pd.DataFrame, skew_us: int
) -> "pd.Series[Any]":
    """When the newest credit that is known of each account was known; logs go by other clocks than ours."""
    told = pd.concat([lines[["account", "at_us"]], mints[["account", "at_us"]]])
    told = told.assign(at_us=told["at_us"].astype("int64") + skew_us)
    confirmed = _confirmed(own).rename(columns={"known_us": "at_us"})[["account", "at_us"]]
    proofs = pd.concat([told, confirmed.astype({"at_us": "int64"})])
    return proofs.groupby("account", observed=True)["at_us"].max()
