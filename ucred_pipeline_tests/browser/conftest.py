"""A browser, and pages that are served for it."""

import shutil
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from ucred_pipeline.reporting.alerts import Desk
from ucred_pipeline_tests.conftest import missing
from ucred_pipeline_tests.reporting.conftest import doubtful, withheld, world
from ucred_pipeline_tests.reporting.serving import served
from ucred_pipeline_tests.reporting.worlds import World

__all__ = ["doubtful", "withheld", "world"]
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Nothing but what a test asks for leaves the browser; a container gives it no sandbox of its own.
_QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def worlds(world: World, doubtful: World, withheld: World) -> None:
    """The worlds, reconciled before the browser's event loop runs in this thread, which bears no other.

    Their alerts are evaluated once.
    """
    for found in (world, doubtful, withheld):
        Desk(found.pipeline.settings, found.pipeline.ledger, found.pipeline.clock).look([])


@pytest.fixture(scope="module")
def browser(worlds: None) -> Iterator[Browser]:  # noqa: ARG001 - they must be there before
    """Headless Chromium, with a profile of its own; it ends with the module, and so does its event loop."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing(f"Chromium is not installed: none of {', '.join(_NAMES)} was found")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        yield started
        started.close()


@pytest.fixture(scope="session")
def address(world: World) -> Iterator[str]:
    """Where the page of the reconciled world is."""
    with served(world.pipeline.settings.ledger_url, rules=world.pipeline.settings.rules) as found:
        yield found
