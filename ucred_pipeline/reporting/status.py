"""Where things stand: one sentence, and then the ledger, the runs, the sources, and what is open."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from sqlalchemy import Connection, func, make_url, select

from ucred_pipeline.domain.clock import from_micros
from ucred_pipeline.domain.corrections import CorrectionState
from ucred_pipeline.domain.money import format_ucred
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.domain.thresholds import STALE, Reading, Share
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.breaks import count_breaks
from ucred_pipeline.ledger.database import place_of
from ucred_pipeline.ledger.history import length
from ucred_pipeline.ledger.measures import correction_success, coverage, retry_queue
from ucred_pipeline.ledger.plans import Plan, PlanState, plans_in
from ucred_pipeline.ledger.purchases import count_verdicts, verdicts_of
from ucred_pipeline.ledger.reads import Read, Source, last_closed
from ucred_pipeline.ledger.retries import due_retries
from ucred_pipeline.ledger.runs import Run, last_run
from ucred_pipeline.ledger.safety import Hold, HoldKind, current_epoch, open_holds, read_breaker
from ucred_pipeline.ledger.schema import corrections, reads
from ucred_pipeline.reporting.mint_rate import percent as in_percent
from ucred_pipeline.reporting.mint_rate import recent_mint_rate
from ucred_pipeline.reporting.terminal import facts, part, plain
from ucred_pipeline.reporting.wording import counted, iso, lasting, seconds_since
from ucred_pipeline.settings import Rules, Settings

_RELEASE: Final = "ucred release --reason TEXT --by NAME"
#: What a person can do about each kind of hold.
WHAT_TO_DO: Final = {
    HoldKind.PERSON: _RELEASE,
    HoldKind.BREAKER: f"look into the indexer, then: {_RELEASE}",
    HoldKind.CONTRADICTION: f"see docs/runbook.md, then: {_RELEASE}",
    HoldKind.LEDGER_LOST: f"bring back the ledger that made them, then: {_RELEASE}",
    HoldKind.RESTORED: f"ucred reconcile, look at what lacks (ucred breaks), then: {_RELEASE}",
    HoldKind.ANOTHER_WORLD: f"name the ledger of that world, or if it is the same one: {_RELEASE}",
    HoldKind.INDEXER_FORGOT: (
        f"old balances restored: {_RELEASE}; lost for good: ucred release --new-epoch --reason TEXT --by NAME"
    ),
}


def status(settings: Settings, connection: Connection, now: datetime) -> dict[str, Any]:
    """Say where things stand, as a document."""
    rules = settings.rules
    document = {
        "now": iso(now),
        "ledger": _ledger(settings.ledger_url, connection),
        "last_run": _run(last_run(connection, now), now, rules),
        "sources": [source_document(connection, source, now) for source in Source],
        "verdicts": count_verdicts(connection),
        "breaks": count_breaks(connection),
        "corrections": _corrections(connection),
        "retry_queue": _queue(connection, now),
        "holds": [_hold(hold, now) for hold in open_holds(connection)],
        "plans_withheld": [_plan(plan, now) for plan in _withheld(connection)],
        "breaker": _breaker(connection),
        "mint_success": _mint(connection, now, rules),
        "coverage": _share(coverage(connection)),
        "correction_success": _share(correction_success(connection)),
    }
    return {"status": _sentence(document), **document}


def _ledger(url: str, connection: Connection) -> dict[str, Any]:
    """Say where the ledger is, without a password, wherever in the URL one may stand."""
    place = place_of(make_url(url))
    return {"url": place, "epoch": current_epoch(connection), "history_entries": length(connection)}


def _run(run: Run | None, now: datetime, rules: Rules) -> dict[str, Any] | None:
    if run is None:
        return None
    age_s = seconds_since(run.finished or run.began, now)
    return {
        "id": run.id,
        "began": iso(run.began),
        "finished": iso(run.finished) if run.finished else None,
        "age_s": age_s,
        "stale": STALE.is_bad(Reading(age_s), rules.thresholds.by_key),
        "mode": "apply" if run.applied else "plan",
        "outcome": run.outcome.value,
        "detail": run.detail,
        "summary": dict(run.summary),
    }


def source_document(connection: Connection, source: Source, now: datetime) -> dict[str, Any]:
    """Say when a source was last read whole, and what that covers."""
    whole = last_closed(connection, source)
    newest = connection.execute(
        select(reads.c.closed).where(reads.c.source == source).order_by(reads.c.id.desc()).limit(1)
    ).scalar()
    return {
        "source": source.value,
        "newest_read_whole": newest,
        "last_whole_read": iso(whole.began) if whole else None,
        "age_s": seconds_since(whole.began, now) if whole else None,
        "rows": whole.rows if whole else None,
        "changed": whole.changed if whole else None,
        "covers": _covers(whole) if whole else None,
    }


def _covers(read: Read) -> str:
    """Say what a whole read proves."""
    match read.source:
        case Source.STRIPE:
            since, until = (from_micros(read.detail[f"{name}_us"]) for name in ("since", "until"))
            return f"payments from {since:%Y-%m-%d} to {until:%Y-%m-%d %H:%M} UTC"
        case Source.INDEXER:
            return f"{counted(read.detail['accounts'], 'balance')} read anew, build {read.detail['build']}"
        case Source.INDEXER_LOG if read.detail["complete"]:
            return f"{counted(read.rows, 'credit')}, proved complete"
        case Source.INDEXER_LOG:
            return f"{counted(read.rows, 'credit')}, NOT complete ({read.detail['reason']})"
        case Source.PAYMENTS_LOG:
            return counted(read.rows, "try to mint", "tries to mint")
        case _:
            return counted(read.rows, "certificate row")


def _corrections(connection: Connection) -> dict[str, int]:
    counting = select(corrections.c.state, func.count()).group_by(corrections.c.state)
    found: dict[str, int] = dict(connection.execute(counting).all())
    return {state.value: found.get(state.value, 0) for state in CorrectionState}


def _queue(connection: Connection, now: datetime) -> dict[str, Any]:
    """Say how many corrections wait to be sent again or settled, and for how long the oldest has."""
    queue = retry_queue(connection)
    oldest = seconds_since(queue.oldest, now) if queue.oldest else None
    return {"size": queue.size, "oldest_s": oldest, "due": len(due_retries(connection, now))}


def _hold(hold: Hold, now: datetime) -> dict[str, Any]:
    return {
        "kind": hold.kind.value,
        "detail": hold.detail,
        "raised": iso(hold.raised),
        "raised_by": hold.raised_by,
        "age_s": seconds_since(hold.raised, now),
        "what_to_do": WHAT_TO_DO[hold.kind],
    }


def _withheld(connection: Connection) -> list[Plan]:
    """The withheld plans that still name what lacks, newest first."""
    found = plans_in(connection, PlanState.WITHHELD)
    return [plan for plan in reversed(found) if _still_lacks(connection, plan)]


def _still_lacks(connection: Connection, plan: Plan) -> bool:
    named = [item.payment_intent for item in plan.items]
    return Verdict.LACKING in verdicts_of(connection, named).values()


def _plan(plan: Plan, now: datetime) -> dict[str, Any]:
    return {
        "hash": plan.hash,
        "created": iso(plan.created),
        "age_s": seconds_since(plan.created, now),
        "corrections": len(plan.items),
        "amount_wei": str(plan.wei),
        "over": list(plan.over),
        "what_to_do": f"ucred approve {plan.hash[:12]} --by NAME",
    }


def _breaker(connection: Connection) -> dict[str, Any]:
    found = read_breaker(connection)
    return {
        "doubts_in_a_row": found.doubts_in_a_row,
        "openings_in_a_row": found.openings_in_a_row,
        "one_at_a_time": found.one_at_a_time,
        "token_refused": found.token_refused,
    }


def _mint(connection: Connection, now: datetime, rules: Rules) -> dict[str, Any]:
    limits = rules.thresholds
    rate = recent_mint_rate(connection, now, limits)
    return {
        "minted": rate.share.part,
        "owed": rate.share.whole,
        "ratio": rate.share.ratio,
        "window_hours": limits.mint_success_window_hours,
        "limit_percent": limits.mint_success_percent,
        "state": rate.state.value,
    }


def _share(share: Share) -> dict[str, Any]:
    return {"part": share.part, "whole": share.whole, "ratio": share.ratio}


def _sentence(told: Mapping[str, Any]) -> str:
    """Say in one sentence where things stand, the gravest first."""
    if told["last_run"] is None:
        return "Nothing has run yet: start with `ucred doctor`, then `ucred reconcile`."
    opened = counted(sum(told["breaks"].values()), "open break")
    if told["holds"]:
        kind = _words(told["holds"][0]["kind"])
        return f"HELD: nothing is sent until a person releases it ({kind}); {opened}."
    if told["plans_withheld"]:
        return f"HELD: a plan is over its limits and waits for an approval; {opened}."
    return _of_last_run(told["last_run"], opened)


def _of_last_run(run: Mapping[str, Any], opened: str) -> str:
    age = lasting(run["age_s"])
    if run["outcome"] in _FAILED:
        return f"FAILED: the last run, {age} ago, ended as {_words(run['outcome'])}; {opened}."
    if run["stale"]:
        return f"STALE: the last run ended {age} ago; {opened} then."
    if run["outcome"] == Outcome.RUNNING:
        return f"RUNNING: a run began {age} ago; {opened}."
    state = "GOOD" if opened.startswith("0 ") else "ATTENTION"
    return f"{state}: the last run ended {age} ago; {opened}."


_FAILED: Final = frozenset({Outcome.SOURCE_UNREADABLE, Outcome.SETTINGS, Outcome.FAULT, Outcome.HELD})


def render(document: Mapping[str, Any]) -> RenderableType:
    """Lay a status out for a terminal."""
    return Group(
        plain(document["status"], "bold"),
        "",
        *_what_holds(document),
        part("Last run", facts([*_run_rows(document["last_run"])])),
        part("Last whole read of each source", facts([*_source_rows(document["sources"])])),
        part("Purchases", facts([*_purchase_rows(document)])),
        part("Corrections", facts([*_correction_rows(document)])),
        part("Ledger", facts([*_ledger_rows(document["ledger"])])),
    )


def _what_holds(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    for hold in told["holds"]:
        since = f"{hold['kind']}, by {hold['raised_by']}, {lasting(hold['age_s'])} ago"
        yield part(f"A hold is in force ({since})", plain(hold["detail"]), plain(hold["what_to_do"], "bold"))
    for plan in told["plans_withheld"]:
        size = f"{counted(plan['corrections'], 'correction')}, {format_ucred(int(plan['amount_wei']))} UCRED"
        over = ", ".join(map(_words, plan["over"]))
        yield part(f"A plan is withheld ({over})", plain(size), plain(plan["what_to_do"], "bold"))


def _run_rows(run: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if run is None:
        yield "never", "run: ucred reconcile"
        return
    yield "ended", f"{lasting(run['age_s'])} ago, as {_words(run['outcome'])} ({run['began']}, {run['mode']})"
    if run["detail"]:
        yield "told", " ".join(run["detail"].split())
    done = run["summary"].get("corrections", {})
    if done:
        yield "corrections", ", ".join(f"{count} {_words(name)}" for name, count in done.items())
    yield "id", run["id"]


def _source_rows(sources: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for source in sources:
        if source["age_s"] is None:
            told = "never read whole" if source["newest_read_whole"] is False else "not read"
        else:
            told = f"{lasting(source['age_s'])} ago: {source['covers']}"
            told += "" if source["newest_read_whole"] else "; THE READ SINCE THEN WAS NOT WHOLE"
        yield _words(source["source"]), told


def _purchase_rows(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    mint = told["mint_success"]
    share = Share(mint["minted"], mint["owed"])
    numbers = f"{share.part} of {share.whole} ({in_percent(share)}) in {mint['window_hours']} h"
    yield "verdicts", _tally(told["verdicts"])
    yield "open breaks", _tally(told["breaks"])
    yield "mint success", f"{numbers}, limit {mint['limit_percent']:g}%: {mint['state']}"
    yield "coverage", f"{_of(told['coverage'])} of what is owed has arrived, corrections included"


def _correction_rows(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "by state", _tally(told["corrections"])
    yield "success", f"{_of(told['correction_success'])} of those attempted are confirmed"
    yield "retry queue", _queue_told(told["retry_queue"])
    yield "breaker", _breaker_told(told["breaker"])


def _queue_told(queue: Mapping[str, Any]) -> str:
    if not queue["size"]:
        return "empty"
    return f"{queue['size']} wait, {queue['due']} are due, the oldest for {lasting(queue['oldest_s'])}"


def _breaker_told(breaker: Mapping[str, Any]) -> str:
    if breaker["token_refused"]:
        return "OPEN: the indexer refused RUST_L1_ADMIN_TOKEN; set a good one"
    if breaker["openings_in_a_row"]:
        times = counted(breaker["openings_in_a_row"], "time")
        return f"opened {times} in a row; the next run begins with one correction at a time"
    pace = ", one correction at a time to begin with" if breaker["one_at_a_time"] else ""
    return f"closed{pace}"


def _ledger_rows(ledger: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "where", ledger["url"]
    yield "epoch", str(ledger["epoch"])
    yield "history", counted(ledger["history_entries"], "entry", "entries")


def _of(share: Mapping[str, Any]) -> str:
    found = Share(share["part"], share["whole"])
    return f"{found.part} of {found.whole} ({in_percent(found)})"


def _tally(counts: Mapping[str, int]) -> str:
    """Say how many there are of each kind that there is."""
    return ", ".join(f"{count:,} {_words(name)}" for name, count in counts.items() if count) or "none"


def _words(name: str) -> str:
    return name.replace("_", " ")
