"""A backfill of a year of days in Dagster, really: `python -m ucred_pipeline_tests.orchestration.year`.

Three ways, each in a world of its own: planned, approved and applied in a single run by its scope; in a
single run by Dagster's range; and one run a day, with the servers killed on the way. It takes most of an
hour, and is therefore no test; what it does for thirty days, tests do.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg

from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.orchestration.partitions import SCOPE_TAG
from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.end_to_end.rehearsal import NO_LIMITS, Rehearsal
from ucred_pipeline_tests.orchestration.webserver import (
    RANGE,
    ROOT,
    Webserver,
    dagster_dev,
    kept,
    kill_servers,
    wait_for,
)

_JOB: Final = "reconciliation"
_HOURS: Final = 3600.0
#: The share of a backfill's days after which the servers are killed.
_KILLED_AFTER: Final = 0.1


def main() -> int:
    """Run the ways that were asked for; 1 where one did not credit each purchase that lacked once."""
    parser = argparse.ArgumentParser(prog="python -m ucred_pipeline_tests.orchestration.year")
    parser.add_argument("--days", type=int, default=365, help="how many (default 365)")
    parser.add_argument("way", nargs="*", choices=[*WAYS, []], help="default: all of them")
    asked = parser.parse_args()
    return max([_try(way, asked.days) for way in asked.way or WAYS])


def _try(way: str, count: int) -> int:
    last = date.today() - timedelta(days=1)  # noqa: DTZ011 - the machine's day, or its neighbour
    days = [f"{last - timedelta(days=back)}" for back in range(count - 1, -1, -1)]
    with _operated(NO_LIMITS if way != "scope" else "", count) as (world, home):
        began = time.monotonic()
        WAYS[way](world, home, days)
        took = time.monotonic() - began
        owed, sent = world.owed_on(days), world.sent()
    is_right = owed <= set(sent) and max(sent.values()) == 1
    told = f"{way}: {count} days in {took:,.0f} s, {len(owed)} purchases lacked, {sent.total()} credits sent"
    sys.stdout.write(f"{told}: {'each once' if is_right else 'WRONG'}\n")
    sys.stdout.flush()
    return 0 if is_right else 1


def _scope(world: Rehearsal, home: Path, days: list[str]) -> None:
    """The runbook's recipe: a plan without leave to send, its approval, and the same range with it."""
    tags = {"dagster/partition": days[-1], SCOPE_TAG: f"{days[0]}..{days[-1]}"}
    with _served(world, home) as (web, _):
        planning = web.launch(_JOB, {}, **tags)
        web.end_of(planning, _HOURS)
        assert world.sandbox.http_credits == ()
        for plan in world.ucred("status", "--json").document["plans_withheld"]:
            assert world.ucred("approve", plan["hash"][:12], "--by", "ada").code == 0
        applying = web.launch(_JOB, may_send(), **tags)
        assert web.end_of(applying, _HOURS) == "SUCCESS"


def _range(world: Rehearsal, home: Path, days: list[str]) -> None:
    """A single run that makes every day of every asset."""
    with _served(world, home) as (web, _):
        run = web.launch(_JOB, may_send(), **dict(zip(RANGE, (days[0], days[-1]), strict=True)))
        assert web.end_of(run, _HOURS) == "SUCCESS", _failures(home, run)


def _daily(world: Rehearsal, home: Path, days: list[str]) -> None:
    """One run a day; the servers are killed on the way, and started again."""
    with _served(world, home) as (web, process):
        backfill = web.backfill(days, may_send())
        wait_for(lambda: _done(web, backfill) >= len(days) * _KILLED_AFTER, _HOURS)
        kill_servers(process)
    with _served(world, home) as (web, _):
        wait_for(lambda: _progress(web, backfill)["status"] != "REQUESTED", 2 * _HOURS)
        assert _progress(web, backfill)["status"] == "COMPLETED_SUCCESS"
        assert _done(web, backfill) == len(days)


WAYS: Final[dict[str, Callable[[Rehearsal, Path, list[str]], None]]] = {
    "scope": _scope,
    "range": _range,
    "daily": _daily,
}


def _failures(home: Path, run: str) -> list[str]:
    return [event.message or "" for event in kept(home, run, dg.DagsterEventType.STEP_FAILURE)]


def _progress(web: Webserver, backfill: str) -> dict[str, Any]:
    progress = web.progress(backfill)
    sys.stderr.write(f"{progress['status']} {progress['partitionStatusCounts']}\n")
    time.sleep(5)
    return progress


def _done(web: Webserver, backfill: str) -> int:
    counts = _progress(web, backfill)["partitionStatusCounts"]
    return sum(found["count"] for found in counts if found["runStatus"] == "SUCCESS")


@contextmanager
def _operated(rules: str, count: int) -> Iterator[tuple[Rehearsal, Path]]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        home = folder / "dagster home"
        home.mkdir()
        (home / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
        spec = SandboxSpec(purchases=200, special_cases=False, lacking_share=0, lost_answers=0)
        with Rehearsal(folder, spec, rules=rules, real_time=True) as world:
            for back in range(count):
                world.sandbox.purchase("lacking_indexer_down", age=timedelta(days=back + 1))
            yield world, home


@contextmanager
def _served(world: Rehearsal, home: Path) -> Iterator[tuple[Webserver, Any]]:
    with dagster_dev(world, home) as (web, process):
        wait_for(web.loaded)
        web.let_nothing_start_by_itself()
        yield web, process


if __name__ == "__main__":
    sys.exit(main())
