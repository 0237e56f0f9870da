"""Reads the outside into the mirrors; each read is closed, or the run ends and nothing is decided."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from ucred_pipeline.domain.clock import from_micros, to_micros
from ucred_pipeline.domain.payments import Payment
from ucred_pipeline.domain.replay import Replay, replay
from ucred_pipeline.domain.state_root import GENESIS, state_root
from ucred_pipeline.ledger import mirror
from ucred_pipeline.ledger.anchors import Anchor, anchors, forgotten, sent_anchors, witnesses
from ucred_pipeline.ledger.correction_rows import knows_no_correction, unknown_attempts
from ucred_pipeline.ledger.purchases import Days, accounts_to_read, refresh_purchases
from ucred_pipeline.ledger.reads import (
    LAST_AUDIT,
    Read,
    Source,
    closed_read_of,
    closed_windows,
    forget_windows,
    last_closed,
    leave_note,
    note,
    save_read,
    save_window,
)
from ucred_pipeline.ledger.safety import HoldKind, Signed, epoch_opened, raise_hold
from ucred_pipeline.orchestration import interrupts
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.orchestration.worlds import world_of
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.indexer import BalancesRead, IndexerSource
from ucred_pipeline.sources.indexer_log import read_indexer_log
from ucred_pipeline.sources.payments_database import read_payments_database
from ucred_pipeline.sources.payments_log import read_payments_log
from ucred_pipeline.sources.stripe import EVENTS_REACH, SETTLING, StripeSource, Window
from ucred_pipeline.sources.stripe_objects import SOURCE

#: What a read keeps of whom it asked.
_WORLD: Final = "world"
_CALLED: Final = {
    Source.STRIPE: "Stripe account (or mode of its key)",
    Source.PAYMENTS_DATABASE: "payments database",
    Source.INDEXER: "indexer",
}
#: The note of which snapshot of the payments database the mirror has.
_SNAPSHOT: Final = "payments_database_snapshot"
#: The note of what the indexer's log proves.
LOG_PROOF: Final = "log_proof"
#: The note of how often the indexer's log was mirrored.
_LOGS_READ: Final = "logs_read"
#: The note of when the first sweep began: what it had read by then may have changed since.
_SWEEP_BEGAN: Final = "first_sweep_began_us"
#: The note of the credits in the log for which a hold has asked a person already.
_LOST: Final = "lost_attempts"
_GENESIS_ROOT: Final = state_root(GENESIS)
_MISSED_EVENTS: Final = timedelta(days=90)
#: A first sweep that was cut off longer ago begins anew; Stripe's events of its time must still be there.
_RESUMED_WITHIN: Final = EVENTS_REACH / 2
#: How long a payment that is not final is left alone; its events are followed anyway.
_ASK_AGAIN: Final = timedelta(hours=1)
#: By how much Stripe's clock and ours may be apart.
_APART: Final = timedelta(minutes=1)
_OPEN_STATES: Final = ("processing", "requires_action", "requires_capture", "requires_confirmation")


@dataclass(slots=True)
class _Tally:
    """Counts what a read found, and what of it was new or different."""

    rows: int = 0
    changed: int = 0

    def add(self, rows: int, changed: int) -> None:
        self.rows += rows
        self.changed += changed


@dataclass(frozen=True, slots=True)
class _Log:
    """Keeps what a read covered when it ends, whole or not."""

    pipeline: Pipeline
    run_id: str
    source: Source

    @contextmanager
    def reading(self) -> Iterator[tuple[_Tally, dict[str, Any]]]:
        began, tally, detail = self.pipeline.clock.now(), _Tally(), dict[str, Any]()
        try:
            yield tally, detail
        except SourceUnreadable as error:
            self._save(began, tally, {"problem": error.problem}, closed=False)
            raise
        world = world_of(self.pipeline.settings.environment, self.source)
        self._save(began, tally, detail | {_WORLD: world}, closed=True)

    def _save(self, began: datetime, tally: _Tally, detail: dict[str, Any], *, closed: bool) -> None:
        now = self.pipeline.clock.now()
        read = Read(self.run_id, self.source, began, now, closed, tally.rows, tally.changed, detail)
        with self.pipeline.ledger.write() as connection:
            if closed:
                self._hold_another_world(connection, read)
            save_read(connection, read)

    def _hold_another_world(self, connection: Connection, read: Read) -> None:
        """Ask a person where a source is another one than the ledger has been fed from, before any credit."""
        before = last_closed(connection, self.source)
        if before is not None and before.detail.get(_WORLD, read.detail[_WORLD]) != read.detail[_WORLD]:
            told = f"this ledger has been fed from another {_CALLED[self.source]} than the settings name now"
            raise_hold(connection, HoldKind.ANOTHER_WORLD, Signed("pipeline", read.finished, told))


def read_stripe(pipeline: Pipeline, run_id: str, days: Days) -> Read:
    """Read payments: on the first run all there are, then what changed, and the days asked for."""
    with pipeline.ledger.read() as connection:
        before = last_closed(connection, Source.STRIPE)
    with _Log(pipeline, run_id, Source.STRIPE).reading() as (tally, detail):
        interrupts.run(_read_stripe(pipeline, days, before, tally, detail))
    return _last(pipeline, Source.STRIPE, run_id)


async def _read_stripe(
    pipeline: Pipeline, days: Days, before: Read | None, tally: _Tally, detail: dict[str, Any]
) -> None:
    now = pipeline.clock.now()
    until = (now - SETTLING).replace(microsecond=0)
    progress = _counted(pipeline, "payments read from Stripe")
    async with StripeSource(pipeline.stripe(), pipeline.clock, progress) as stripe:
        await stripe.preflight()
        reader = _StripeReader(pipeline, stripe, tally, now)
        if before is None:
            detail |= await reader.everything(until)
        else:
            await reader.refuse_another_account(before)
            detail |= await reader.changes(before, now, until)
            await reader.days(days, from_micros(detail["since_us"]), until)


@dataclass(frozen=True, slots=True)
class _StripeReader:
    """Reads Stripe into the mirror."""

    pipeline: Pipeline
    stripe: StripeSource
    tally: _Tally
    began: datetime

    async def everything(self, until: datetime) -> dict[str, int]:
        """Sweep from the oldest payment on; a sweep that was cut off goes on where it was.

        What it had read before then is asked for changes since, as that may be long ago.
        """
        oldest = await self.stripe.oldest()
        since = min(oldest, until) if oldest else until
        with self.pipeline.ledger.write() as connection:
            done = [Window(*window) for window in closed_windows(connection, since)]
            noted = note(connection, _SWEEP_BEGAN) if done else None
            began = until if noted is None else from_micros(noted)
            if began < until - _RESUMED_WITHIN:
                forget_windows(connection)
                done, began = [], until
            leave_note(connection, _SWEEP_BEGAN, to_micros(began))
        await self.stripe.sweep(Window(since, until), self._keep_window(since), done)
        if done:
            changed = self._not_read_since(await self.stripe.newest_events(began))
            await self._reread(changed | await self.stripe.reversed_since(began))
        with self.pipeline.ledger.write() as connection:
            forget_windows(connection)
        return _covered(since=since, until=until, events=began, swept=began, whole_since=from_micros(0))

    async def refuse_another_account(self, before: Read) -> None:
        """Read nothing by a key of another account: what changes in the one that is known would go unread."""
        here = world_of(self.pipeline.settings.environment, Source.STRIPE)
        with self.pipeline.ledger.read() as connection:
            newest = mirror.newest_payment(connection)
        if newest is None or before.detail.get(_WORLD, here) != here:  # of another world the hold tells
            return
        if (await self.stripe.payments([newest])).unknown:
            raise SourceUnreadable(
                SOURCE,
                "the newest payment that this ledger has read is unknown to the account of STRIPE_API_KEY",
                "Name a key of the account that this ledger is fed from, or another ledger for this one "
                "(UCRED_DATABASE_URL). Nothing was decided.",
            )

    async def changes(self, before: Read, now: datetime, until: datetime) -> dict[str, int]:
        """Re-read what events point at and what is not final, and sweep what is new, or a month daily."""
        rules = self.pipeline.settings.rules.stripe
        covered = {
            name: from_micros(micros) for name, micros in before.detail.items() if name.endswith("_us")
        }
        events = covered["events_us"] - timedelta(seconds=rules.events_overlap_s)
        swept, since = covered["swept_us"], covered["until_us"]
        if events < now - EVENTS_REACH:
            since, swept = events - _MISSED_EVENTS, until
        else:
            await self._reread(self._not_read_since(await self.stripe.newest_events(events)))
            if now - swept >= timedelta(hours=rules.sweep_hours):
                since, swept = min(since, until - timedelta(days=rules.sweep_days)), until
        if swept == until:
            await self._reread(self._older_than(since, await self.stripe.reversed_since(since)))
        await self._reread(self._not_final(now - _ASK_AGAIN, everything=swept == until))
        await self.stripe.sweep(Window(min(since, until), until), self._keep)
        return _covered(
            since=covered["since_us"], until=until, events=until, swept=swept, whole_since=min(since, until)
        )

    async def days(self, days: Days, oldest: datetime, until: datetime) -> None:
        """Sweep the days that were asked for once more, of those on which there may be payments."""
        if days != Days():
            since = max(days.since or oldest, oldest)
            end = min(days.until or until, until)
            if since < end:
                await self.stripe.sweep(Window(since, end), self._keep)

    async def _reread(self, names: frozenset[str]) -> None:
        if names:
            self._store((await self.stripe.payments(sorted(names))).payments)

    def _older_than(self, moment: datetime, names: frozenset[str]) -> frozenset[str]:
        """Those that the sweep from a moment on does not read anyway."""
        with self.pipeline.ledger.read() as connection:
            return mirror.payments_before(connection, names, moment)

    def _not_read_since(self, events: Mapping[str, datetime]) -> frozenset[str]:
        """Those that were not read after their newest event: an overlap repeats what was followed."""
        with self.pipeline.ledger.read() as connection:
            return mirror.not_read_since(connection, {name: at + _APART for name, at in events.items()})

    def _not_final(self, read_before: datetime, *, everything: bool) -> frozenset[str]:
        with self.pipeline.ledger.read() as connection:
            return mirror.open_payments(connection, None if everything else _OPEN_STATES, read_before)

    def _keep(self, _window: Window, payments: list[Payment]) -> None:
        self._store(payments)

    def _keep_window(self, sweep_since: datetime) -> Callable[[Window, list[Payment]], None]:
        def keep(window: Window, payments: list[Payment]) -> None:
            self._store(payments)
            with self.pipeline.ledger.write() as connection:
                save_window(connection, sweep_since, window.since, window.until)

        return keep

    def _store(self, payments: Sequence[Payment]) -> None:
        with self.pipeline.ledger.write() as connection:
            self.tally.add(len(payments), mirror.store_payments(connection, payments, self.began))


def days_read_whole(pipeline: Pipeline, run_id: str, asked: Days) -> list[Days]:
    """The days of which a run has read every payment from Stripe anew; none where it has not read Stripe."""
    with pipeline.ledger.read() as connection:
        read = closed_read_of(connection, Source.STRIPE, run_id)
    if read is None:
        return []
    since = from_micros(read.detail["whole_since_us"])
    first = since.replace(hour=0, minute=0, second=0, microsecond=0)
    whole = Days(since=first if first == since else first + timedelta(days=1))
    return [whole] if asked == Days() else [whole, asked]


def _covered(**moments: datetime) -> dict[str, int]:
    return {f"{name}_us": to_micros(moment) for name, moment in moments.items()}


def read_issuances(pipeline: Pipeline, run_id: str) -> Read:
    """Read the payments API's records and certificates, as they stood at one moment."""
    url = pipeline.settings.require("PAYMENTS_DATABASE_URL")
    with _Log(pipeline, run_id, Source.PAYMENTS_DATABASE).reading() as (tally, detail):
        mirrored = False
        while not mirrored:
            mirrored = _mirror_issuances(pipeline, url, tally, detail)
        pipeline.progress("issuances read", tally.rows)
    return _last(pipeline, Source.PAYMENTS_DATABASE, run_id)


def _mirror_issuances(pipeline: Pipeline, url: str, tally: _Tally, detail: dict[str, Any]) -> bool:
    """Mirror what the database has; False where another run did so meanwhile, and ours may be the older."""
    with pipeline.ledger.read() as connection:
        before, known = last_closed(connection, Source.PAYMENTS_DATABASE), note(connection, _SNAPSHOT)
    found = read_payments_database(url, pipeline.clock, known if before else None)
    if before is not None and found.unchanged:
        tally.add(before.rows, 0)
        detail.update(before.detail)
        return True
    with pipeline.ledger.write() as connection:
        if note(connection, _SNAPSHOT) != known:
            return False
        changed = mirror.store_records(connection, found.records)
        changed += mirror.store_issuances(connection, found.issuances)
        leave_note(connection, _SNAPSHOT, found.fingerprint)
    tally.add(len(found.issuances), changed)
    detail.update(fingerprint=found.fingerprint, problems=found.problems)
    return True


def read_balances(pipeline: Pipeline, run_id: str) -> Read:
    """Read the balances that may have changed and matter, and ask whether the indexer still remembers."""
    with pipeline.ledger.write() as connection:
        refresh_purchases(connection, pipeline.purchase_rules())
    with _Log(pipeline, run_id, Source.INDEXER).reading() as (tally, detail):
        interrupts.run(_read_balances(pipeline, tally, detail))
    return _last(pipeline, Source.INDEXER, run_id)


async def _read_balances(pipeline: Pipeline, tally: _Tally, detail: dict[str, Any]) -> None:
    async with IndexerSource(pipeline.indexer(), pipeline.clock) as indexer:
        detail["build"] = str(await indexer.health())
        told = await _mirror_balances(pipeline, indexer, tally, detail)
        if told:  # by what another run has learnt since this one began to ask: so it is asked once more
            told = await _mirror_balances(pipeline, indexer, tally, detail)
    detail["remembers"] = told is None
    if told:
        with pipeline.ledger.write() as connection:
            _hold_for_a_restart(pipeline, connection, told)


async def _mirror_balances(
    pipeline: Pipeline, indexer: IndexerSource, tally: _Tally, detail: dict[str, Any]
) -> str | None:
    """Mirror the balances that may have changed and matter; say what shows that the indexer forgot."""
    oldest = pipeline.clock.now() - timedelta(hours=pipeline.settings.rules.indexer.balance_sweep_hours)
    audit = await indexer.audit()
    with pipeline.ledger.read() as connection:
        remembered = anchors(connection)
        changed = accounts_to_read(connection, oldest, audit.state_root)
        changed += witnesses(connection)
        changed += [anchor.account for anchor, _ in sent_anchors(connection)]
    wanted = sorted({*changed, *(anchor.account for anchor in remembered)})
    read = await indexer.balances(wanted, _counted(pipeline, "balances read"))
    detail |= {"root": read.root_after, "accounts": len(wanted)}
    return _keep_balances(pipeline, read, remembered, tally)


def _keep_balances(
    pipeline: Pipeline, read: BalancesRead, remembered: Sequence[Anchor], tally: _Tally
) -> str | None:
    """Mirror the balances; where they show that the indexer forgot, say so and keep what it acknowledged."""
    with pipeline.ledger.write() as connection:
        told = _what_was_forgotten(pipeline, connection, read, remembered)
        if told is None:
            tally.add(len(read.readings), mirror.store_balances(connection, read.readings))
            told_at = {"root": read.root_after, "began_us": to_micros(read.after.began)}
            leave_note(connection, LAST_AUDIT, told_at)
        return told


def _what_was_forgotten(
    pipeline: Pipeline, connection: Connection, read: BalancesRead, remembered: Sequence[Anchor]
) -> str | None:
    """Say what shows that the indexer's state is not the one that it acknowledged."""
    if read.root_after == _GENESIS_ROOT and mirror.held_anything(connection, read.after.began):
        return "every balance is back to genesis"
    debits_possible = pipeline.settings.rules.evidence.debits_possible
    held = {reading.account: reading.wei for reading in read.readings}
    lost = forgotten(remembered, held, debits_possible=debits_possible)
    if lost:
        return f"{len(lost)} of {len(remembered)} accounts hold less than the indexer had acknowledged"
    fallen = mirror.fallen_balances(connection, read.readings)
    return f"{len(fallen)} balances are lower than before" if fallen and not debits_possible else None


def _hold_for_a_restart(pipeline: Pipeline, connection: Connection, told: str) -> None:
    advice = f"{told}: the indexer was restarted; see docs/runbook.md, The indexer was restarted"
    raise_hold(connection, HoldKind.INDEXER_FORGOT, Signed("pipeline", pipeline.clock.now(), advice))


def read_evidence(pipeline: Pipeline, run_id: str) -> list[Read]:
    """Read the two services' logs, where the settings name them, and prove what they cover."""
    environment = pipeline.settings.environment
    reads = []
    if environment.ucred_indexer_log:
        with _Log(pipeline, run_id, Source.INDEXER_LOG).reading() as (tally, detail):
            mirrored = False
            while not mirrored:
                mirrored = _mirror_indexer_log(pipeline, environment.ucred_indexer_log, tally, detail)
        reads.append(_last(pipeline, Source.INDEXER_LOG, run_id))
    else:
        with pipeline.ledger.write() as connection:
            leave_note(connection, LOG_PROOF, None)
    if environment.ucred_payments_log:
        with _Log(pipeline, run_id, Source.PAYMENTS_LOG).reading() as (tally, _):
            lines = read_payments_log(environment.ucred_payments_log)
            with pipeline.ledger.write() as connection:
                tally.add(len(lines), mirror.store_mint_lines(connection, lines))
        reads.append(_last(pipeline, Source.PAYMENTS_LOG, run_id))
    return reads


def _mirror_indexer_log(pipeline: Pipeline, pattern: str, tally: _Tally, detail: dict[str, Any]) -> bool:
    """Mirror the log's lines; False where another run did so meanwhile, and ours may be the older."""
    with pipeline.ledger.read() as connection:
        known = note(connection, _LOGS_READ) or 0
    log = read_indexer_log(pattern)
    pipeline.progress("lines of the indexer's log read", len(log.lines))
    with pipeline.ledger.write() as connection:
        if (note(connection, _LOGS_READ) or 0) != known:
            return False
        leave_note(connection, _LOGS_READ, known + 1)
        audit = note(connection, LAST_AUDIT)
        if audit is None:
            raise SourceUnreadable(
                "indexer log", "there is no root to hold it against", "Read the indexer's balances first."
            )
        audited = from_micros(audit["began_us"])
        found = replay(log.lines, audit["root"], audited=audited)
        since = None if found.complete else _surely_of_this_epoch(pipeline, connection)
        tally.add(len(log.lines), mirror.store_credit_lines(connection, found.lines, since))
        proof = _proof(found, audit)
        leave_note(connection, LOG_PROOF, proof)
        _hold_for_lost_rows(pipeline, connection)
        _hold_where_balances_are_of_another_life(pipeline, connection, found, audited)
    detail.update(proof, damaged=log.damaged)
    return True


def _surely_of_this_epoch(pipeline: Pipeline, connection: Connection) -> datetime:
    """Since when a line is surely no credit of a state that was lost, where the log does not prove it."""
    return epoch_opened(connection) - timedelta(seconds=pipeline.settings.rules.indexer.clock_skew_s)


def _hold_for_lost_rows(pipeline: Pipeline, connection: Connection) -> None:
    """Hold where the log shows credits of ours that the ledger lost, until a person has looked at them."""
    lost, known = unknown_attempts(connection), set(note(connection, _LOST) or ())
    if lost <= known:
        return
    told = f"the log shows {len(lost)} credits of ours that this ledger does not have: it lost rows"
    if knows_no_correction(connection):
        told = "the log shows corrections, and this ledger knows of none: another ledger made them"
    raise_hold(connection, HoldKind.LEDGER_LOST, Signed("pipeline", pipeline.clock.now(), told))
    leave_note(connection, _LOST, sorted(lost))


def _hold_where_balances_are_of_another_life(
    pipeline: Pipeline, connection: Connection, found: Replay, audited: datetime
) -> None:
    """Hold where more was read of a balance before the audit than the log proves for the audited state.

    Without debits only a restart between the two explains it. It would stay unseen where somebody credits
    as much again before we look: what was read of the old state, and is so again, would seem unchanged.
    """
    if not found.complete or pipeline.settings.rules.evidence.debits_possible:
        return
    fallen = mirror.held_more(connection, found.balances, audited)
    if fallen:
        told = f"{len(fallen)} balances were higher before than the log proves"
        _hold_for_a_restart(pipeline, connection, told)


def _proof(found: Replay, audit: dict[str, Any]) -> dict[str, Any]:
    began = _began(found, from_micros(audit["began_us"]))
    return {
        "complete": found.complete,
        "reason": found.reason.value,
        "audited_us": audit["began_us"],
        "root": audit["root"],
        "lives": found.lives,
        "life_began_us": to_micros(began) if began else 0,
    }


def _began(found: Replay, audited: datetime) -> datetime | None:
    """When the present life began: at its first credit, or not before the audit that proves it empty."""
    if found.lives < 2:
        return None
    if found.lines:
        return found.lines[0].at
    return audited if found.complete else None


def _counted(pipeline: Pipeline, step: str) -> Callable[[int], None]:
    def tell(count: int) -> None:
        pipeline.progress(step, count)

    return tell


def _last(pipeline: Pipeline, source: Source, run_id: str) -> Read:
    with pipeline.ledger.read() as connection:
        found = closed_read_of(connection, source, run_id)
    if found is None:
        raise LookupError(f"the read of {source} was not kept")
    return found
