"""Examines whether everything that a run needs is in order; nothing that it does has an effect."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ucred_pipeline.alert_routes import read_routes
from ucred_pipeline.corrections.indexer import IndexerUnreachable, Sight
from ucred_pipeline.corrections.preflight import Refused, check_token
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.domain.replay import replay
from ucred_pipeline.ledger.anchors import anchors
from ucred_pipeline.ledger.safety import open_holds, read_breaker
from ucred_pipeline.orchestration.faults import told_without_secrets
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import INSECURE_TOKEN, SettingsError
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.indexer import Audit, IndexerSource
from ucred_pipeline.sources.indexer_log import read_indexer_log
from ucred_pipeline.sources.payments_database import read_payments_database
from ucred_pipeline.sources.payments_log import read_payments_log
from ucred_pipeline.sources.stripe import StripeSource

_NEEDED: Final = ("STRIPE_API_KEY", "PAYMENTS_DATABASE_URL", "RUST_L1_INDEXER", "RUST_L1_ADMIN_TOKEN")
#: The hash of the operator token that stands in public documents of the indexer's owners.
_PUBLISHED: Final = "164db891bbc7d6db1b5390ed10cb0d3032048b111547023cd9e344888cdaac7e"
_UNRESTRICTED: Final = "sk_"


class Level(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found, and what to do about it."""

    name: str
    level: Level
    told: str
    advice: str = ""


def examine(pipeline: Pipeline) -> list[Finding]:
    """Examine everything that a run needs; one failure keeps no other from being found."""
    return [finding for name, look in _EXAMINATIONS.items() for finding in _safely(name, look, pipeline)]


def worst(findings: Sequence[Finding]) -> Level:
    """Give the gravest level that was found."""
    order = list(Level)
    return max((found.level for found in findings), key=order.index, default=Level.OK)


def render(findings: Sequence[Finding]) -> RenderableType:
    """Lay findings out for a terminal, and end with what they come to."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for found in findings:
        style = _STYLES[found.level]
        advice = f"\n{found.advice}" if found.advice else ""
        grid.add_row(Text(_SHOWN[found.level], style), Text(found.name), Text(found.told + advice))
    return Group(grid, "", Text(_conclusion(findings), "bold"))


_SHOWN: Final = {Level.OK: "ok", Level.WARNING: "WARNING", Level.ERROR: "ERROR"}
_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def _conclusion(findings: Sequence[Finding]) -> str:
    match worst(findings):
        case Level.ERROR:
            return "Not everything is in order: put right what is marked ERROR."
        case Level.WARNING:
            return "A run would work; look at what is marked WARNING."
        case _:
            return "Everything that a run needs is in order."


def _safely(name: str, look: "_Look", pipeline: Pipeline) -> list[Finding]:
    """Make one examination; what it raises is its finding."""
    try:
        return [_found(name, *found) for found in look(pipeline)]
    except SourceUnreadable as error:
        return [Finding(name, Level.ERROR, error.problem, error.advice)]
    except Refused as error:
        return [Finding(name, Level.ERROR, error.gate.value.replace("_", " "), error.advice)]
    except (IndexerUnreachable, SettingsError) as error:
        return [Finding(name, Level.ERROR, str(error))]
    except Exception as error:  # noqa: BLE001 - every examination is made, whatever the others did
        return [Finding(name, Level.ERROR, told_without_secrets(error))]


def _found(name: str, level: Level, told: str, advice: str = "") -> Finding:
    return Finding(name, level, told, advice)


#: A level, what was found, and what to do about it.
_Told = tuple[Level, str] | tuple[Level, str, str]
_Look = Callable[[Pipeline], Iterator[_Told]]


def _settings(pipeline: Pipeline) -> Iterator[_Told]:
    environment = pipeline.settings.environment
    missing = [name for name in _NEEDED if getattr(environment, name.lower()) is None]
    for name in missing:
        yield Level.ERROR, f"{name} is not set", "Set it in the environment or in .env."
    if not missing:
        yield Level.OK, "all that a run needs are set"


def _ledger(pipeline: Pipeline) -> Iterator[_Told]:
    with pipeline.ledger.write() as connection:
        holds, breaker = open_holds(connection), read_breaker(connection)
    yield Level.OK, f"can be read and written ({pipeline.ledger.dialect})"
    for hold in holds:
        told = f"a hold is in force ({hold.kind.value.replace('_', ' ')}): {hold.detail}"
        yield Level.WARNING, told, "Nothing is sent until: ucred release --reason TEXT --by NAME"
    if breaker.token_refused:
        yield Level.WARNING, "the last run ended because the token was refused", "The next run tries it anew."


def _stripe(pipeline: Pipeline) -> Iterator[_Told]:
    async def preflight() -> None:
        async with StripeSource(pipeline.stripe(), pipeline.clock) as stripe:
            await stripe.preflight()

    asyncio.run(preflight())
    yield Level.OK, "answers, and the key may read all that is needed"
    if pipeline.stripe().key.startswith(_UNRESTRICTED):
        told = "STRIPE_API_KEY is a secret key, which may do everything"
        yield Level.WARNING, told, "Use a restricted key that may only read."


def _payments_database(pipeline: Pipeline) -> Iterator[_Told]:
    url = pipeline.settings.require("PAYMENTS_DATABASE_URL")
    found = read_payments_database(url, pipeline.clock)
    yield Level.OK, f"can be read: {len(found.records)} payments, {len(found.issuances)} certificate rows"
    for problem in found.problems:
        yield Level.WARNING, problem


def _indexer(pipeline: Pipeline) -> Iterator[_Told]:
    sight = asyncio.run(_sight(pipeline))
    yield Level.OK, f"answers: {sight.build}"
    pipeline.gates().check_sight(sight)
    yield Level.OK, "the build is reviewed, and its clock and ours agree"


async def _sight(pipeline: Pipeline) -> Sight:
    async with IndexerSource(pipeline.indexer(), pipeline.clock) as indexer:
        build, audit = await indexer.health(), await indexer.audit()
    return Sight(build, audit.state_root, audit.began, audit.server_date)


def _token(pipeline: Pipeline) -> Iterator[_Told]:
    async def prove() -> None:
        async with pipeline.door().open() as connection:
            await check_token(connection)

    asyncio.run(prove())
    yield Level.OK, "the indexer accepts RUST_L1_ADMIN_TOKEN (proved without an effect)"
    token = pipeline.settings.require("RUST_L1_ADMIN_TOKEN")
    if token == INSECURE_TOKEN:
        yield (
            Level.WARNING,
            "it is the indexer's insecure default, which anybody knows",
            "Set one of your own.",
        )
    if sha256(token.encode()).hexdigest() == _PUBLISHED:
        told = "it is published in documents of the indexer's owners: anybody may credit"
        yield Level.WARNING, told, "Have it rotated, and set the new one."


def _memory(pipeline: Pipeline) -> Iterator[_Told]:
    with pipeline.ledger.read() as connection:
        remembered = anchors(connection)

    async def ask() -> None:
        async with pipeline.door().open() as connection:
            await pipeline.gates().check_memory(connection, remembered)

    asyncio.run(ask())
    if remembered:
        yield Level.OK, f"the indexer remembers: {len(remembered)} of {len(remembered)} accounts hold enough"
    else:
        yield Level.OK, "nothing to remember yet: no balance was ever read"


def _indexer_log(pipeline: Pipeline) -> Iterator[_Told]:
    pattern = pipeline.settings.environment.ucred_indexer_log
    if pattern is None:
        yield (
            Level.WARNING,
            "UCRED_INDEXER_LOG is not set: purchases are judged by balances alone",
            "Set it to the indexer's log: then each purchase is judged by itself, and doubts settle sooner.",
        )
        return
    log = read_indexer_log(pattern)
    yield Level.OK, f"can be read: {len(log.lines)} credits"
    if log.damaged:
        yield Level.WARNING, f"{log.damaged} of its lines are damaged"
    audit = asyncio.run(_audit(pipeline))
    found = replay(log.lines, audit.state_root, audited=audit.began)
    if found.complete:
        yield Level.OK, "it is complete: its credits reproduce the indexer's state root"
    else:
        told = f"it is not proved complete ({found.reason.value.replace('_', ' ')})"
        yield Level.WARNING, told, "Name every file since the indexer's start, rotated ones included."


async def _audit(pipeline: Pipeline) -> Audit:
    async with IndexerSource(pipeline.indexer(), pipeline.clock) as indexer:
        return await indexer.audit()


def _payments_log(pipeline: Pipeline) -> Iterator[_Told]:
    pattern = pipeline.settings.environment.ucred_payments_log
    if pattern is None:
        yield Level.OK, "UCRED_PAYMENTS_LOG is not set; it is not needed, and tells why a mint failed"
        return
    yield Level.OK, f"can be read: {len(read_payments_log(pattern))} tries to mint"


def _alert_routes(pipeline: Pipeline) -> Iterator[_Told]:
    """Look whether apprise takes every address; what is wrong is named by its place."""
    urls = pipeline.settings.environment.ucred_alert_urls
    if urls is None:
        yield Level.OK, "UCRED_ALERT_URLS is not set: `ucred alerts` lists the alerts, and nobody is told"
        return
    routes = read_routes(urls.get_secret_value())
    for problem in routes.problems:
        yield Level.ERROR, problem, "Correct it: docs/alerts.md, Routes."
    for severity in Severity:
        if not any(route.takes(severity) for route in routes.usable):
            yield Level.WARNING, f"no route takes alerts that are {severity}"
    if routes.usable:
        names = ", ".join(route.name for route in routes.usable)
        yield Level.OK, f"can be read: {names}; try them with: ucred alerts test"


def _idempotency(_pipeline: Pipeline) -> Iterator[_Told]:
    """Say what holds: no harmless question could find it out."""
    yield Level.OK, "the reviewed builds have no idempotency keys: a doubt is settled by evidence, not resent"


_EXAMINATIONS: Final[dict[str, _Look]] = {
    "settings": _settings,
    "ledger": _ledger,
    "Stripe": _stripe,
    "payments database": _payments_database,
    "indexer": _indexer,
    "operator token": _token,
    "memory": _memory,
    "indexer log": _indexer_log,
    "payments log": _payments_log,
    "alert routes": _alert_routes,
    "idempotency": _idempotency,
}
