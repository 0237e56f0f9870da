"""The page in a real browser: every width, light and dark, by keyboard, and without JavaScript."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import select

from ucred_pipeline.domain.accounts import USER_PREFIX
from ucred_pipeline.ledger.breaks import open_breaks
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.schema import corrections
from ucred_pipeline_tests.browser.visits import Visit, visit
from ucred_pipeline_tests.reporting.serving import served
from ucred_pipeline_tests.reporting.worlds import World

WIDTHS: Final = (390, 768, 1400)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
#: The most that the page may weigh, with its script, its style and its charts.
HEAVIEST: Final = 150_000


def corrected(world: World) -> str:
    """Name a purchase with a correction."""
    with world.pipeline.ledger.read() as connection:
        return str(connection.execute(select(corrections.c.payment_intent).limit(1)).scalar_one())


@pytest.fixture(scope="session")
def paths(world: World) -> list[str]:
    """Every kind of page that there is."""
    with world.pipeline.ledger.read() as connection:
        opened = open_breaks(connection)
    kinds = {one.kind: f"/breaks/{one.id}" for one in opened}
    return ["/", "/?range=30d", "/breaks", *kinds.values(), f"/purchases/{corrected(world)}"]


@pytest.fixture(scope="session")
def empty_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page of a ledger is in which nothing has happened yet."""
    url = f"sqlite:///{(tmp_path_factory.mktemp('empty') / 'ledger.db').as_posix()}"
    Ledger.open(url).close()
    with served(url) as found:
        yield found


def sound(found: Visit, address: str) -> None:
    """Nothing is complained of, asked of others, or wider than the window, and axe-core finds nothing."""
    assert found.findings() == []
    assert found.complaints == []
    assert {request.url for request in found.requests if not request.url.startswith(address)} == set()
    assert found.overflow() == 0


def test_every_page_at_every_width(browser: Browser, address: str, paths: list[str]) -> None:
    """No error, no request to another host, no sideways scroll, and no barrier, with every table open."""
    for path in paths:
        with visit(browser, address + path) as found:
            for summary in found.page.query_selector_all("summary"):
                summary.click()
            for width, scheme in product(WIDTHS, SCHEMES):
                found.turn(width, scheme)
                sound(found, address)


def test_it_reflows_on_the_narrowest_screen(browser: Browser, address: str, paths: list[str]) -> None:
    """At 320 px, which is 1280 px at 400%, nothing scrolls sideways."""
    for path in paths:
        with visit(browser, address + path, viewport={"width": 320, "height": 900}) as found:
            assert found.overflow() == 0


def test_it_prints_dark_on_white(browser: Browser, address: str) -> None:
    """Whatever the screen looks like, on paper the ink is dark."""
    with visit(browser, address, color_scheme="dark") as found:
        found.page.emulate_media(media="print", color_scheme="dark")
        inks = found.page.evaluate(
            "['color', 'backgroundColor'].map(of => getComputedStyle(document.body)[of])"
        )

    assert inks == ["rgb(25, 28, 36)", "rgb(244, 246, 249)"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_held_and_in_doubt(browser: Browser, withheld: World, doubtful: World, scheme: str) -> None:
    """The pages of a held plan and of doubts are as sound as those of a good day."""
    for world in (withheld, doubtful):
        with served(world.pipeline.settings.ledger_url) as address:
            for path in ("/", "/breaks"):
                with visit(
                    browser, address + path, viewport={"width": 390, "height": 900}, color_scheme=scheme
                ) as found:
                    sound(found, address)


def test_an_empty_ledger(browser: Browser, empty_address: str) -> None:
    """With nothing to draw there is no chart, no error, and a sentence in its place."""
    with visit(browser, empty_address) as found:
        sound(found, empty_address)
        assert found.page.query_selector("canvas") is None
        assert "No purchase was owed a credit" in found.page.inner_text("main")


def test_alerts_lead_to_what_they_are_about(browser: Browser, address: str) -> None:
    """An alert of one break is a link to it."""
    with visit(browser, address) as found:
        assert "fire. Evaluated" in found.page.inner_text("[aria-labelledby=alerts]").replace(
            "1 fires", "1 fire"
        )
        with found.page.expect_navigation():
            found.page.click(".alerts a")
        assert "More arrived than was owed." in found.page.inner_text("main")


def test_it_is_light(browser: Browser, address: str) -> None:
    """The page with its script, its style and its charts is under 150 KB, uncompressed."""
    with visit(browser, address) as found:
        assert 50_000 < found.weight() < HEAVIEST


@pytest.mark.parametrize("chart", ["success", "latency"])
def test_a_chart_is_drawn_from_its_table(browser: Browser, address: str, chart: str) -> None:
    """The chart is drawn, and under the pointer it says what a row of the table says."""
    panel = f"section:has([data-chart={chart}])"
    with visit(browser, address) as found:
        page = found.page
        drawn = page.eval_on_selector(f"{panel} canvas", "c => c.width * c.height")
        page.hover(f"{panel} .u-over", position={"x": 200, "y": 60})
        when, _, told = page.inner_text(f"{panel} .readout").partition(": ")
        page.click(f"{panel} summary")
        rows = [row.inner_text() for row in page.query_selector_all(f"{panel} tbody tr")]

    assert drawn > 0
    assert [numbers(told)] == [numbers(row.removeprefix(when)) for row in rows if row.startswith(when)]


def numbers(text: str) -> list[str]:
    """The numbers in a text."""
    return re.findall(r"[0-9.]+", text)


def test_the_charts_follow_the_scheme_and_the_width(browser: Browser, address: str) -> None:
    """Turning dark or narrow draws the charts anew, in the colours and the width of then."""
    with visit(browser, address, color_scheme="light") as found:
        page = found.page
        wide = page.eval_on_selector(".plot canvas", "c => c.toDataURL()")
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(200)
        dark = page.eval_on_selector(".plot canvas", "c => c.toDataURL()")
        page.set_viewport_size({"width": 390, "height": 900})
        page.wait_for_timeout(300)

        assert wide != dark
        assert found.overflow() == 0
        assert page.eval_on_selector(".plot .uplot", "c => c.getBoundingClientRect().width") < 390


def test_by_keyboard(browser: Browser, address: str) -> None:
    """From the first key on each stop is visible, and the first leads past the header to the content."""
    with visit(browser, address) as found:
        page = found.page
        page.keyboard.press("Tab")
        first = page.evaluate("document.activeElement.textContent")
        outlines = [outline(page)]
        for _ in range(40):
            page.keyboard.press("Tab")
            outlines.append(outline(page))

        assert first == "Skip to the content"
        assert min(outlines) >= 2
        page.goto(address)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"


def outline(page: Page) -> float:
    """How thick the outline of what has the focus is, where it is on the screen."""
    told: float = page.evaluate(
        """() => {
            const one = document.activeElement, box = one.getBoundingClientRect();
            if (box.width === 0 || box.right < 0) return 0;
            return parseFloat(getComputedStyle(one).outlineWidth);
        }"""
    )
    return told


def test_search_keeps_addresses_out_of_urls(browser: Browser, address: str, world: World) -> None:
    """Typed into the form, an address leads to its purchases, and no URL of the visit has it."""
    with world.pipeline.ledger.read() as connection:
        one = open_breaks(connection, "unpaid")[0]
    customer = str(one.account).removeprefix(USER_PREFIX)
    with visit(browser, address) as found:
        found.page.fill("#search", customer)
        with found.page.expect_navigation():
            found.page.keyboard.press("Enter")

        assert one.payment_intent in found.page.inner_text("main")
        assert not [
            request.url for request in found.requests if customer in request.url or "%40" in request.url
        ]
        assert found.findings() == []


def test_without_javascript(browser: Browser, address: str) -> None:
    """Without JavaScript everything is there but the drawn charts, whose tables say the same."""
    with visit(browser, address, java_script_enabled=False) as found:
        page = found.page
        text = page.inner_text("main")

        assert "The chart needs JavaScript; the table has the same figures." in text
        assert "breaks are open" in text
        page.click("summary >> nth=0")
        assert page.is_visible(".series >> nth=0")
        page.get_by_role("link", name="7 d", exact=True).click()
        assert "range=7d" in page.url
        page.click("table.matrix tbody a >> nth=0")
        assert page.query_selector("h1").inner_text() == "Open breaks"  # type: ignore[union-attr]


def test_a_break_is_three_clicks_from_its_run(browser: Browser, address: str, world: World) -> None:
    """From the overview one comes to a break, and its page leads to the run in Dagster that sent."""
    with visit(browser, address + f"/purchases/{corrected(world)}") as found:
        links = [link.get_attribute("href") for link in found.page.query_selector_all("main a")]

    assert f"http://127.0.0.1:3000/runs/{world.run.id}" in links
