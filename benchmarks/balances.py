"""How fast balances are read over HTTP, beside `httpx.AsyncClient` with as many connections."""

import asyncio
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import httpx

from benchmarks.worlds import running_sandbox
from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.domain.money import parse_wei
from ucred_pipeline.sources.indexer import IndexerAccess, IndexerSource

ACCOUNTS = 2_000
CONNECTIONS = 32
ROUNDS = 3


async def with_ours(address: str, accounts: list[str]) -> list[int]:
    """Read as the pipeline does."""
    async with IndexerSource(IndexerAccess(address, connections=CONNECTIONS), SystemClock()) as indexer:
        return [reading.wei for reading in (await indexer.balances(accounts)).readings]


async def with_httpx(address: str, accounts: list[str]) -> list[int]:
    """Read as a competent user of httpx would: no more requests under way than connections."""
    turns = asyncio.Semaphore(CONNECTIONS)
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:

        async def read(account: str) -> int:
            async with turns:
                answer = await client.get(f"/balances?account={quote(account, safe='')}")
            return sum(parse_wei(entry["balance_wei"]) for entry in answer.json())

        return await asyncio.gather(*map(read, accounts))


def main() -> None:
    """Read the same accounts by turns, and compare."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_sandbox(Path(folder), "--purchases", str(2 * ACCOUNTS), "--no-logs") as settings,
    ):
        address = settings["RUST_L1_INDEXER"]
        accounts = sorted(settings.accounts)[:ACCOUNTS]
        fastest: dict[str, float] = {}
        for name, read in (("ours", with_ours), ("httpx.AsyncClient", with_httpx)) * ROUNDS:
            began = time.perf_counter()
            found = asyncio.run(read(address, accounts))
            seconds = time.perf_counter() - began
            fastest[name] = min(seconds, fastest.get(name, seconds))
            print(f"{name:<20} {len(found) / seconds:8,.0f} balances/s   sum {sum(found)} wei")
    ratio = fastest["httpx.AsyncClient"] / fastest["ours"]
    print(f"ours is {ratio:.1f} times as fast (the best of {ROUNDS} each)")


if __name__ == "__main__":
    main()
