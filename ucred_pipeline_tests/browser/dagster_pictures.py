"""Takes the pictures of Dagster's UI that docs/operations.md shows, on a rehearsal, in headless Chromium.

python -m ucred_pipeline_tests.browser.dagster_pictures [FOLDER]
"""

import shutil
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.webserver import (
    LOCATION,
    RANGE,
    ROOT,
    Webserver,
    dagster_dev,
    wait_for,
)

_OPTIONS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SIZE: Final = {"width": 1280, "height": 760}
_DAYS: Final = 30
_DAYS_ONE_BY_ONE: Final = 4


def main(folder: Path) -> None:
    """Take every picture."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "dagster home"
        home.mkdir()
        shutil.copy(ROOT / "dagster.yaml", home)
        spec = SandboxSpec(purchases=120, lost_answers=0)
        with (
            Rehearsal(Path(temporary), spec, real_time=True) as world,
            dagster_dev(world, home) as (web, _),
        ):
            wait_for(web.loaded, 120)
            backfill = _operate(web)
            _take(web.address, backfill, folder)


def _operate(web: Webserver) -> str:
    """Let a month be backfilled in one run, and some of its days one by one."""
    last = datetime.now(UTC).date() - timedelta(days=1)
    days = [_key(last - timedelta(days=back)) for back in range(_DAYS - 1, -1, -1)]
    whole = web.launch("reconciliation", may_send(), **dict(zip(RANGE, (days[0], days[-1]), strict=True)))
    web.end_of(whole, 300)
    backfill = web.backfill(days[-_DAYS_ONE_BY_ONE:], may_send())
    wait_for(lambda: web.progress(backfill)["status"] != "REQUESTED", 600)
    return backfill


def _key(day: date) -> str:
    return day.isoformat()


def _take(address: str, backfill: str, folder: Path) -> None:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_OPTIONS)
        page = browser.new_page(viewport=_SIZE)  # type: ignore[arg-type]
        page.set_default_timeout(120_000)
        page.goto(f"{address}/asset-groups", wait_until="domcontentloaded")
        page.get_by_text("judgement").first.wait_for()
        page.get_by_text("Hide navigation").click()
        page.keyboard.press("Alt+e")  # expands every group
        _picture(page, "corrective_credits", folder / "dagster-assets.png")
        job = f"{address}/locations/{LOCATION}/jobs/reconciliation/partitions"
        page.goto(job, wait_until="domcontentloaded")
        _picture(page, "Missing partitions", folder / "dagster-days.png")
        page.goto(f"{address}/runs/b/{backfill}", wait_until="domcontentloaded")
        _picture(page, "Completed", folder / "dagster-backfill.png")
        page.goto(f"{address}/assets/mint_metrics?view=checks", wait_until="domcontentloaded")
        _picture(page, "no_red_day", folder / "dagster-checks.png")
        browser.close()


def _picture(page: Page, shows: str, file: Path) -> None:
    """Take a picture once the page shows something, and has come to rest."""
    page.get_by_text(shows).first.wait_for()
    page.wait_for_timeout(5_000)
    page.screenshot(path=file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
