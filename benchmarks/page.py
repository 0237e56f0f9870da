"""How quick the page and /metrics are over a million purchases, as `ucred serve` serves them."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import sync_playwright

from benchmarks.big_ledger import make
from benchmarks.worlds import UCRED

_TIMES = 9
_STARTS = 5
#: What the server stands on: no start is quicker than to load these.
_STANDS_ON = "import click, pydantic, sqlalchemy.dialects.sqlite, starlette.applications, uvicorn"
#: A page of one word, which tells how much of a paint is the browser's own.
_ALMOST_EMPTY = "/healthz"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
_PAINTED = """new Promise(done => new PerformanceObserver(seen => seen.getEntries()
    .filter(entry => entry.name === "first-contentful-paint").forEach(entry => done(entry.startTime))
).observe({type: "paint", buffered: true}))"""


@contextmanager
def serving(url: str) -> Iterator[tuple[str, float, psutil.Process]]:
    """Start the command; give its address, how long it took to take requests, and the process."""
    began = time.perf_counter()
    command = [*UCRED, "serve", "--port", "0"]
    environ = os.environ | {"UCRED_DATABASE_URL": url}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://[^/]+", line)
            if found is None:
                raise SystemExit(f"the page did not start: {line}")
            httpx.get(f"{found[0]}/healthz", trust_env=False).raise_for_status()
            yield found[0], time.perf_counter() - began, psutil.Process(process.pid)
        finally:
            process.terminate()


def milliseconds(ask: Callable[[], object]) -> str:
    """Ask several times, and time it."""
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    return told_of(times)


def told_of(times: list[float]) -> str:
    """Say the first time, and the best and the median of all: others may be at work on the machine."""
    return f"{times[0]:6.0f} ms first, {min(times):6.0f} ms best, {statistics.median(times):6.0f} ms median"


def over_http(address: str) -> None:
    """Time the server alone."""
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        paths = ["/metrics", "/?range=6h", "/", "/?range=7d", "/?range=30d"]
        paths += ["/breaks", "/breaks?sort=amount", "/breaks.csv", "/purchases/pi_000000000000000000500007"]
        for path in paths:
            size = len(client.get(path).content)
            told = milliseconds(lambda path=path: client.get(path))  # type: ignore[misc]
            print(f"{path:<44} {told}   {size / 1000:7.0f} KB")
        for name in ("500007.x", "buyer1234@example.com", "nobody@example.com"):
            told = milliseconds(lambda name=name: client.post("/search", data={"name": name}))  # type: ignore[misc]
            print(f"search: {name:<36} {told}")


def in_a_browser(address: str) -> None:
    """Time until something is painted, each time in a browser without a cache."""
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        print("Chromium is not installed: nothing was painted")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        for path in (_ALMOST_EMPTY, "/", "/?range=30d"):
            painted = []
            for _ in range(_TIMES):
                context = browser.new_context(viewport={"width": 1400, "height": 900})
                page = context.new_page()
                page.goto(address + path, wait_until="load")
                painted.append(page.evaluate(_PAINTED))
                context.close()
            print(f"first paint of {path:<29} {told_of(painted)}")
        browser.close()


def floor_of_the_start() -> float:
    """Seconds that Python takes to load what the server stands on."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _STANDS_ON], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Make the ledger, and measure."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        url = os.environ.get("BIG_LEDGER_URL") or make(Path(folder) / "ledger.db")
        starts, worked, floors = [], [], []
        for _ in range(_STARTS):
            floors.append(floor_of_the_start())
            with serving(url) as (_, seconds, process):
                starts.append(seconds)
                worked.append(sum(process.cpu_times()[:2]))
        told = f"{statistics.median(starts):.2f} s, of which it worked {statistics.median(worked):.2f} s"
        print(f"start to first answer: {told}, medians of {_STARTS}")
        print(f"Python and the libraries alone: {statistics.median(floors):.2f} s")
        with serving(url) as (address, _, process):
            over_http(address)
            in_a_browser(address)
            print(f"memory of the server: {process.memory_info().rss / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
