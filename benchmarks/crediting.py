"""How fast corrective credits are issued with all their guards, beside a script that just posts them.

The answer of the indexer takes 20 ms, as over a network. The ledger is a file that is synced.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from benchmarks.first_run import written
from benchmarks.worlds import running_sandbox
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.group_commit import GroupCommit, Writes
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.orchestration import crediting, judgement, reading, summary
from ucred_pipeline.orchestration.opening import open_pipeline
from ucred_pipeline.orchestration.pipeline import Pipeline

LACKING = 400
WORLD = (
    *("--purchases", "1000", "--lacking-share", str(LACKING / 1000)),
    *("--no-logs", "--fault", "indexer-latency=0.02"),
)
RULES = """
[limits]
corrections_per_run = 1000
ucred_per_run = 1000
ucred_per_day = 1000
lacking_percent = 99
"""


def planned_world(env_file: Path) -> Pipeline:
    """Read and judge a world, up to the plan."""
    (env_file.parent / "ucred.toml").write_text(RULES, encoding="utf-8")
    with env_file.open("a", encoding="utf-8") as settings:
        settings.write(f"UCRED_CONFIG='{env_file.parent / 'ucred.toml'}'\n")
    opened = open_pipeline(env_file)
    pipeline = opened.__enter__()
    summary.start(pipeline, "benchmark", Days(), applied=True)
    reading.read_stripe(pipeline, "benchmark", Days())
    reading.read_issuances(pipeline, "benchmark")
    reading.read_balances(pipeline, "benchmark")
    reading.read_evidence(pipeline, "benchmark")
    judgement.judge_marked(pipeline)
    return pipeline


def by_pipeline(pipeline: Pipeline) -> int:
    """Issue as the pipeline does: eight accounts at a time."""
    planned = crediting.plan(pipeline, "benchmark", Days())
    return crediting.carry_out(pipeline, "benchmark", planned).confirmed


def without_grouping(pipeline: Pipeline) -> int:
    """The same, with every durable write in a transaction of its own."""

    async def alone(_: GroupCommit, work: Callable[[Writes], Any]) -> Any:
        return work(pipeline.ledger)

    with mock.patch.object(GroupCommit, "write", alone):
        return by_pipeline(pipeline)


def by_script(pipeline: Pipeline) -> int:
    """Post one after the other, as a script would: no memory, no guard, no doubt."""
    planned = crediting.plan(pipeline, "benchmark", Days())
    door, done = pipeline.door(), 0
    with httpx.Client(timeout=30) as client:
        for item in planned.plans[0].items:
            told = {"asset": "UCRED", "account": item.account, "amount_wei": str(item.amount)}
            told |= {"memo": f"manual_credit:{item.namespace}", "operator_token": door.token}
            done += client.post(f"{door.address}/admin/credit", json=told).is_success
    return done


def commits_of(pipeline: Pipeline, work: Callable[[Pipeline], int]) -> tuple[int, int, float]:
    """Do the work: how many credits, how many transactions, how many seconds."""
    count, write = 0, Ledger.write

    def counted(ledger: Ledger) -> object:
        nonlocal count
        count += 1
        return write(ledger)

    with mock.patch.object(Ledger, "write", counted):
        began = time.perf_counter()
        credits_made = work(pipeline)
        return credits_made, count, time.perf_counter() - began


def main() -> None:
    """Credit the same world three ways."""
    for name, work in (
        ("the pipeline", by_pipeline),
        ("without grouped writes", without_grouping),
        ("a script that posts", by_script),
    ):
        with tempfile.TemporaryDirectory() as folder, running_sandbox(Path(folder), *WORLD) as settings:
            pipeline = planned_world(written(settings, Path(folder)))
            made, transactions, seconds = commits_of(pipeline, work)
            pipeline.ledger.close()
        print(f"{name:<24} {made / seconds:6.1f} credits/s   {transactions:,} transactions for {made}")


if __name__ == "__main__":
    main()
