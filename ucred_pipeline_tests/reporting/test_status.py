"""Where things stand."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.safety import HoldKind, Signed, raise_hold, release_holds
from ucred_pipeline.reporting.status import render, status
from ucred_pipeline.settings import Settings, load_settings
from ucred_pipeline_tests.reporting.worlds import World, shown, words

NOW = SystemClock().now


def status_of(world: World, later: timedelta = timedelta(0)) -> dict[str, Any]:
    """Read the status, as a document that went through JSON."""
    with world.pipeline.ledger.read() as connection:
        told = status(world.pipeline.settings, connection, NOW() + later)
    found: dict[str, Any] = json.loads(json.dumps(told))
    return found


def settings_of(url: str) -> Settings:
    """Make settings with a ledger only."""
    return load_settings(environ={"UCRED_DATABASE_URL": url})


def test_before_the_first_run(tmp_path: Path) -> None:
    """An empty ledger says that nothing has run, and how to begin."""
    settings = settings_of(f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}")
    with Ledger.open(settings.ledger_url) as ledger, ledger.read() as connection:
        told = status(settings, connection, NOW())

    assert told["status"].startswith("Nothing has run yet")
    assert "never" in shown(render(told))


def test_no_password(tmp_path: Path) -> None:
    """The ledger's address is shown without its password, wherever it stands in the URL."""
    url = "postgresql+psycopg://user:s3cret@db.example/ucred?password=s3cret"
    with (
        Ledger.open(f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}") as ledger,
        ledger.read() as connection,
    ):
        told = status(settings_of(url), connection, NOW())

    assert "s3cret" not in json.dumps(told) + shown(render(told))
    assert "db.example" in told["ledger"]["url"]


def test_figures_tie_to_the_run(world: World) -> None:
    """Verdicts, breaks, corrections and the mint's rate are those of the run."""
    told, run = status_of(world), world.run.summary

    assert told["verdicts"] == run["verdicts"]
    assert sum(told["breaks"].values()) == run["breaks_open"]
    assert told["corrections"]["confirmed"] == run["corrections"]["confirmed"]
    assert told["mint_success"]["ratio"] == run["mint_success_rate"]
    assert told["last_run"]["summary"] == run


def test_sources(world: World) -> None:
    """Each source says when it was last read whole, and what that covers."""
    told = {source["source"]: source for source in status_of(world)["sources"]}

    assert all(source["newest_read_whole"] for source in told.values())
    assert "proved complete" in told["indexer_log"]["covers"]


def test_attention_and_then_stale(world: World) -> None:
    """Open breaks ask for attention; a run that is long ago says so first."""
    assert status_of(world)["status"].startswith("ATTENTION")
    assert status_of(world, timedelta(hours=3))["status"].startswith("STALE: the last run ended 3 h ")


def test_withheld(withheld: World) -> None:
    """A withheld plan comes first, with the command that approves it."""
    told = status_of(withheld)

    assert told["status"].startswith("HELD: a plan")
    assert told["plans_withheld"][0]["hash"] == withheld.run.summary["plan"]
    assert f"ucred approve {withheld.run.summary['plan'][:12]} --by NAME" in words(render(told))


def test_held(withheld: World) -> None:
    """A hold says who raised it, why, and what to do."""
    with withheld.pipeline.ledger.write() as connection:
        raise_hold(connection, HoldKind.PERSON, Signed("Kim", NOW(), "the indexer is being moved"))
    told = status_of(withheld)
    with withheld.pipeline.ledger.write() as connection:
        release_holds(connection, Signed("Kim", NOW(), "it was moved"))
    text = words(render(told))

    assert told["status"].startswith("HELD: nothing is sent until a person releases it")
    assert "by Kim" in text
    assert "the indexer is being moved" in text
    assert "ucred release --reason TEXT --by NAME" in text


def test_doubts(doubtful: World) -> None:
    """Without logs those sources are not read, and doubts show among the corrections."""
    told = status_of(doubtful)

    assert told["corrections"]["in_doubt"] == 2
    assert "not read" in words(render(told))


def test_width(world: World, withheld: World, doubtful: World) -> None:
    """It fits 80 columns."""
    for found in (world, withheld, doubtful):
        assert max(map(len, shown(render(status_of(found))).splitlines())) <= 80
