"""A visit to the page: what the browser complained of, what it asked for, and what axe-core finds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request

#: What axe-core cannot decide, by its rule and a part of the way to the element, and why that is right.
EXPLAINED: Final = {
    ("color-contrast", "> details"): "rows that are scrolled out of their box look as those within do",
}
_OPTIONS: Final = {"resultTypes": ["violations", "incomplete"], "ancestry": True}
#: What passed is thousands of rows, which take longer to hand over than axe-core takes.
_AXE: Final = "options => axe.run(options).then(({violations, incomplete}) => ({violations, incomplete}))"
#: What a change of the window's size sets off is over before the second frame.
_PAINTED: Final = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
#: The page's own script brings these after the page itself has loaded.
_CHARTS_ARE_DRAWN: Final = """() => [
    ...[...document.querySelectorAll(".plot")].map((plot) => plot.querySelector("canvas")),
    ...[...document.querySelectorAll("link[rel=stylesheet]")].map((link) => link.sheet),
].every(Boolean)"""


@dataclass
class Visit:
    """A page that is open in the browser."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def turn(self, width: int, scheme: Literal["light", "dark"]) -> None:
        """Make the window so wide and the scheme that, and wait until the page has followed."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)
        self.page.evaluate(_PAINTED)

    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        told: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return told

    def weight(self) -> int:
        """How many bytes came, uncompressed and with headers, for the page and all that it needs."""
        sizes = (request.sizes() for request in self.requests)
        return sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)

    def findings(self) -> list[str]:
        """What axe-core finds wrong, and what it cannot decide and nobody has explained."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(Axe().axe_script)
        told = self.page.evaluate(_AXE, _OPTIONS)
        undecided = [one for one in _each(told["incomplete"]) if not _is_explained(*one)]
        return [f"{rule}: {way}" for rule, way in (*_each(told["violations"]), *undecided)]


def _each(results: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(result["id"], node["ancestry"][0]) for result in results for node in result["nodes"]]


def _is_explained(rule: str, way: str) -> bool:
    return any(rule == explained and part in way for explained, part in EXPLAINED)


@contextmanager
def visit(browser: Browser, address: str, **options: Any) -> Iterator[Visit]:
    """Open a page in a context of its own, and wait until it is drawn."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
    page = context.new_page()
    found = Visit(page)
    page.on("console", lambda told: found.complaints.append(f"{told.type}: {told.text}"))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request))  # noqa: PLW0108 - it marks what it calls
    try:
        page.goto(address)
        if options.get("java_script_enabled", True):
            page.wait_for_function(_CHARTS_ARE_DRAWN)
        yield found
    finally:
        context.close()
