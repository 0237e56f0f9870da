"""Judges the accounts that something touched, and writes back the verdicts that changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import orjson
import pandas as pd
from sqlalchemy import Connection

from ucred_pipeline.corrections.settling import LogProof
from ucred_pipeline.domain.clock import from_micros, to_micros
from ucred_pipeline.domain.judging import judge
from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline.ledger.breaks import resolve_orphans, update_breaks
from ucred_pipeline.ledger.days import note_changed, note_reconciled
from ucred_pipeline.ledger.decisions import lapse_decisions
from ucred_pipeline.ledger.judging_tables import Coverage, load_tables
from ucred_pipeline.ledger.mints import note_mints
from ucred_pipeline.ledger.purchases import (
    Days,
    clear_marks,
    mark_all,
    mark_all_accounts,
    mark_pending,
    note_young,
    refresh_purchases,
    store_verdicts,
)
from ucred_pipeline.ledger.reads import LAST_AUDIT, Source, last_closed, leave_note, note
from ucred_pipeline.ledger.safety import current_epoch, epoch_opened
from ucred_pipeline.ledger.tallies import take_tallies
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.orchestration.reading import LOG_PROOF

_RULES_OF_LAST_TIME: Final = "rules_judged_by"
_ASSUMPTIONS_OF_LAST_TIME: Final = "assumptions_judged_by"
_US: Final = 1_000_000

#: What one step left for another in a note of the ledger.
Noted = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """How many purchases were judged, and how many verdicts changed, on which days of creation."""

    looked_at: int
    changed: int
    days: tuple[str, ...]


def judge_marked(pipeline: Pipeline, read_whole: Sequence[Days] = ()) -> Judged:
    """Judge every purchase of each account that something touched, in one transaction.

    The days that were `read_whole` by the same run are seen to by that; a change on another day asks for it.
    """
    now = pipeline.clock.now()
    with pipeline.ledger.write() as connection:
        basis = gather(pipeline, connection, now)
        lapse_decisions(connection, now)
        tables = load_tables(connection, basis.coverage)
        verdicts = judge(tables.purchases, tables.accounts, basis.evidence)
        here = ~tables.purchases["is_elsewhere"].astype(bool)
        changed = _changed(tables.purchases[here], verdicts[here])
        keep_verdicts(connection, changed, now)
        note_mints(connection)
        if basis.refreshed or changed:
            take_tallies(connection, now)
        clear_marks(connection)
        days = {f"{from_micros(row['created_us']):%Y-%m-%d}" for row in changed}
        _keep_days(connection, days, read_whole, pipeline.clock.now())
    looked_at = int(here.sum())
    pipeline.progress("purchases judged", looked_at)
    return Judged(looked_at, len(changed), tuple(sorted(days)))


@dataclass(frozen=True, slots=True)
class Basis:
    """On what purchases are judged, and how many of them were put together anew for it."""

    evidence: Evidence
    coverage: Coverage
    refreshed: int


def gather(pipeline: Pipeline, connection: Connection, now: datetime) -> Basis:
    """Mark all that must be judged, put its purchases together, and say what is known of them."""
    proof, audit = note(connection, LOG_PROOF), note(connection, LAST_AUDIT)
    evidence = _evidence(pipeline, _present_proof(proof, audit), now)
    coverage = _coverage(pipeline, connection, proof, audit)
    _mark_what_changed_for_all(pipeline, connection, evidence)
    refreshed = refresh_purchases(connection, pipeline.purchase_rules())
    mark_pending(connection)
    note_young(connection, _seen_until(evidence, coverage) - pipeline.settings.rules.grace)
    return Basis(evidence, coverage, refreshed)


def keep_verdicts(connection: Connection, changed: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Keep the verdicts that changed, and the breaks that they open and end."""
    store_verdicts(connection, changed, now)
    update_breaks(connection, changed, now)
    resolve_orphans(connection, now)


def _seen_until(evidence: Evidence, coverage: Coverage) -> datetime:
    """Until when all is known that makes a verdict final but for what changes in the sources."""
    log = evidence.log_as_of_us if evidence.log_proves_absence else evidence.now_us
    return from_micros(min(evidence.now_us, coverage.stripe_until_us, log))


def _keep_days(
    connection: Connection, changed: Iterable[str], read_whole: Sequence[Days], at: datetime
) -> None:
    note_changed(connection, changed, at)
    for days in read_whole:
        note_reconciled(connection, days, at)


def log_proof(connection: Connection) -> LogProof | None:
    """What the indexer's log is proved to cover; None without a log."""
    told = note(connection, LOG_PROOF)
    return None if told is None else _proof(told)


def _proof(told: Noted) -> LogProof:
    return LogProof(told["complete"], from_micros(told["audited_us"]), told["root"], told["lives"])


def _present_proof(proof: Noted | None, audit: Noted | None) -> LogProof | None:
    """The log's proof, where it is about the very state in which the balances were read last."""
    if proof is None or audit is None or proof["audited_us"] != audit["began_us"]:
        return None
    return _proof(proof)


def _evidence(pipeline: Pipeline, proof: LogProof | None, now: datetime) -> Evidence:
    rules = pipeline.settings.rules
    return Evidence(
        now_us=to_micros(now),
        grace_us=rules.purchases.grace_s * _US,
        log_complete=proof is not None and proof.complete,
        log_as_of_us=to_micros(proof.audited) if proof else -1,
        other_writers=rules.evidence.other_writers,
        debits_possible=rules.evidence.debits_possible,
        minted_wei=rules.purchases.minted_ucred,
    )


def _coverage(
    pipeline: Pipeline, connection: Connection, proof: Noted | None, audit: Noted | None
) -> Coverage:
    stripe, opened = last_closed(connection, Source.STRIPE), to_micros(epoch_opened(connection))
    return Coverage(
        stripe_since_us=0,  # the first sweep begins at the oldest payment: before it there is none
        stripe_until_us=stripe.detail["until_us"] if stripe else 0,
        root=audit["root"] if audit else None,
        root_as_of_us=audit["began_us"] if audit else -1,
        life_began_us=max(opened, proof["life_began_us"] if proof else 0),
        skew_us=pipeline.settings.rules.indexer.clock_skew_s * _US,
    )


def _mark_what_changed_for_all(pipeline: Pipeline, connection: Connection, evidence: Evidence) -> None:
    """Look at everything again when the rules or what may be assumed are not those of last time."""
    rules = pipeline.settings.rules
    by_rules = _fingerprint([rules.purchases.friends_and_family_keys, repr(rules.reward_table())])
    if _is_news(connection, _RULES_OF_LAST_TIME, by_rules):
        mark_all(connection)
    assumed = _fingerprint(
        [
            evidence.grace_us,
            evidence.log_complete,
            evidence.other_writers,
            evidence.debits_possible,
            str(evidence.minted_wei),
            current_epoch(connection),
        ]
    )
    if _is_news(connection, _ASSUMPTIONS_OF_LAST_TIME, assumed):
        mark_all_accounts(connection)


def _is_news(connection: Connection, name: str, now: str) -> bool:
    """Whether something is not as it was last time; the first time everything is marked anyway."""
    before = note(connection, name)
    if before != now:
        leave_note(connection, name, now)
    return before not in {None, now}


def _fingerprint(told: Any) -> str:
    return sha256(orjson.dumps(told)).hexdigest()


def _changed(purchases: pd.DataFrame, verdicts: pd.DataFrame) -> list[dict[str, Any]]:
    names = ["verdict", "basis", "reason"]
    before = purchases[[f"previous_{name}" for name in names]].set_axis(names, axis=1)
    now = verdicts[names].astype(object)
    differs = (before.fillna("") != now).any(axis=1)
    rows = now[differs].assign(
        payment_intent=purchases.loc[differs, "payment_intent"],
        created_us=purchases.loc[differs, "created_us"],
    )
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
