"""The pages over HTTP: what they say, who may look, and that what customers wrote stays text."""

import csv
import io
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import Connection, select, update

from ucred_pipeline.domain.accounts import USER_PREFIX
from ucred_pipeline.domain.alert_states import Alert
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.domain.issuances import ISSUED, Issuance
from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.domain.thresholds import Measure
from ucred_pipeline.domain.verdicts import Reason, Verdict
from ucred_pipeline.ledger.alerts import may_look, save_alerts, silence
from ucred_pipeline.ledger.breaks import KINDS, count_breaks, open_breaks, update_breaks
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.measures import Windows, read_measures
from ucred_pipeline.ledger.mints import note_mints
from ucred_pipeline.ledger.mirror import store_issuances, store_payments
from ucred_pipeline.ledger.purchases import count_verdicts, find_purchases, mark_all_accounts
from ucred_pipeline.ledger.runs import End, Run, begin_run, end_run
from ucred_pipeline.ledger.safety import HoldKind, Signed, raise_hold
from ucred_pipeline.ledger.schema import breaks, corrections, purchases
from ucred_pipeline.ledger.tallies import take_tallies
from ucred_pipeline.reporting.breaks import FIELDS
from ucred_pipeline.reporting.mint_rate import percent, recent_mint_rate
from ucred_pipeline.reporting.page.words import latency
from ucred_pipeline.settings import Rules
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import add_purchase, book_of, in_doubt, item, read_everything
from ucred_pipeline_tests.reporting.serving import visiting
from ucred_pipeline_tests.reporting.worlds import World

TOKEN: Final = "a token that nobody guesses"
SCRIPT: Final = "<script>alert(1)</script>"
POLICY: Final = "default-src 'self'"
ENDLESS: Final = 10 * 1024 * 1024


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    """A visitor of the page of a reconciled world."""
    with visiting(world.pipeline.settings.ledger_url, rules=world.pipeline.settings.rules) as visitor:
        yield visitor


@pytest.fixture
def ledger_page(sqlite_ledger: Ledger, sqlite_url: str, clock: FakeClock) -> Iterator[httpx.Client]:
    """A visitor of the page of a small ledger, on the clock of the test."""
    assert sqlite_ledger.file is not None
    with visiting(sqlite_url, clock=clock) as visitor:
        yield visitor


def words(html: str) -> str:
    """What a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def figure(html: str, name: str) -> str:
    """What one card says."""
    found = re.search(rf'data-figure="{name}">(.*?)</li>', html, re.DOTALL)
    assert found is not None
    return words(found[1])


def lacking(connection: Connection, number: int, found: datetime = NOON, **changes: Any) -> str:
    """Write a paid and certified purchase that lacks its UCRED, with its break; give its PaymentIntent."""
    wanted = item(number)
    add_purchase(connection, wanted, **changes)
    name, address = wanted.payment_intent, wanted.account.removeprefix(USER_PREFIX)
    paid = Payment(name, NOON, "succeeded", "usd", 999, 0, Dispute.NONE, NOON, address, {})
    store_payments(connection, [paid])
    store_issuances(
        connection, [Issuance(f"iss_{number}", name, wanted.namespace, address, None, ISSUED, NOON, None)]
    )
    told = {
        "payment_intent": wanted.payment_intent,
        "verdict": Verdict.LACKING,
        "reason": Reason.LOG_SHOWS_NONE,
    }
    update_breaks(connection, [told], found)
    return wanted.payment_intent


def judged(connection: Connection, at: datetime = NOON) -> None:
    """Do what a judgement does last."""
    mark_all_accounts(connection)
    note_mints(connection)
    take_tallies(connection, at)


def ran(
    connection: Connection, at: datetime = NOON, detail: str = "", outcome: Outcome = Outcome.DONE
) -> None:
    """Keep a run that ended."""
    run = Run("run-1", at - timedelta(seconds=9), None, True, None, None, Outcome.RUNNING, "", {})
    begin_run(connection, run)
    read_everything(connection, run.id, at)
    end_run(connection, "run-1", End(at, outcome, detail))


# What it says


def test_the_figures_are_those_of_the_ledger(world: World, client: httpx.Client) -> None:
    """Cards, totals and matrix say what the ledger counts, and what `ucred status` says."""
    html = client.get("/").text
    with world.pipeline.ledger.read() as connection:
        verdicts, opened = count_verdicts(connection), count_breaks(connection)
        rate = recent_mint_rate(connection, SystemClock().now(), world.pipeline.settings.rules.thresholds)

    assert f"{percent(rate.share)} Critical {rate.share.part:,} of {rate.share.whole:,} mints" in figure(
        html, "success"
    )
    assert f"Over-credits {verdicts[Verdict.OVER_CREDITED]} Critical" in figure(html, "over")
    assert f"Missing credits {verdicts[Verdict.LACKING]} Good" in figure(html, "missing")
    assert f"In doubt {verdicts[Verdict.IN_DOUBT]} Good" in figure(html, "doubt")
    assert f"{sum(opened.values())} breaks are open." in words(html)
    for kind, count in opened.items():
        assert (f'aria-label="{count} {kind.replace("_", " ")}, of any age"' in html) == (count > 0)
    assert f"{verdicts[Verdict.CREDITED]} credited" in words(html)


def test_every_control_total_ties(world: World, doubtful: World, withheld: World) -> None:
    """In each world nothing is unexplained, and the wholes are counted from the other end."""
    for found in (world, doubtful, withheld):
        with visiting(found.pipeline.settings.ledger_url) as visitor:
            html = visitor.get("/").text
        with found.pipeline.ledger.read() as connection:
            bought = len(find_purchases(connection, purchases.c.payment_intent.is_not(None)))
            planned = len(connection.execute(select(corrections.c.id)).all())

        assert "All tie" in html
        assert f"Purchases {bought} " in words(html)
        assert f"Corrections planned {planned} " in words(html)


@pytest.mark.parametrize(
    "spoil",
    [
        update(breaks).where(breaks.c.resolved.is_(None)).values(resolved=NOON),
        update(purchases).values(verdict=None),
    ],
    ids=["a break too few", "nothing judged"],
)
def test_a_total_that_does_not_tie_is_a_fault(
    sqlite_ledger: Ledger, ledger_page: httpx.Client, spoil: Any
) -> None:
    """A figure that only one end of the ledger knows of is shown as unexplained, and said first."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1)
        ran(connection)
        judged(connection)
    tied = ledger_page.get("/").text
    with sqlite_ledger.write() as connection:
        connection.execute(spoil)
        take_tallies(connection, NOON)
    untied = ledger_page.get("/").text

    assert ("All tie" in tied, "Fault" in tied) == (True, False)
    assert ("Does not tie" in untied, words(untied).count("Fault")) == (True, 1)
    assert "A control total does not tie." in untied


@pytest.mark.parametrize("span", ["6h", "24h", "7d", "30d", "nonsense"])
def test_the_newest_point_of_a_chart_is_the_card(world: World, client: httpx.Client, span: str) -> None:
    """Whatever the time that a chart spans, it ends with the figure that the alert sees now."""
    html = client.get("/", params={"range": span}).text
    now, limits = SystemClock().now(), world.pipeline.settings.rules.thresholds
    window = Windows.of(limits.mint_success_window_hours, limits.failed_runs_window_hours)
    with world.pipeline.ledger.read() as connection:
        rate = recent_mint_rate(connection, now, limits)
        measured = read_measures(connection, [Measure.MINT_LATENCY], window, now)
    table = re.findall(r"<tr><th scope=\"row\"><time.*?</tr>", html)
    successes, latencies = ([row for row in table if marked in row] for marked in ("%</td>", "data-s"))

    p95 = latency(measured[Measure.MINT_LATENCY].value)
    assert words(successes[-1]).endswith(f"{rate.percent} {rate.share.part} {rate.share.whole}")
    assert words(latencies[-1]).endswith(p95)
    assert f"Mint latency p95 {p95} " in figure(html, "latency")
    assert 'aria-current="true">24 h' in html or span != "nonsense"


def test_before_anything_has_happened(ledger_page: httpx.Client) -> None:
    """An empty ledger reads well: it says how to begin, and shows no figure that there is not."""
    answer = ledger_page.get("/")

    assert answer.status_code == 200
    assert "Nothing has run yet. Start with `ucred doctor`" in words(answer.text)
    for name in ("success", "latency", "queue", "missing", "over", "doubt"):
        assert re.search(r" (-|0) No data nothing is judged yet ", figure(answer.text, name))
    assert "Nothing has been judged yet" in answer.text
    assert "No open breaks" in answer.text


def test_one_purchase(sqlite_ledger: Ledger, ledger_page: httpx.Client) -> None:
    """One purchase reads well: the singular, its amount, its age, and too few to tell a rate."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1, NOON - timedelta(hours=25))
        ran(connection)
        judged(connection)
    html = ledger_page.get("/").text

    assert "1 break is open. Critical: missing credits." in words(html)
    assert "Missing credits 1 Critical 1 UCRED owed, the oldest for 25 h" in figure(html, "missing")
    assert "Mint success 0.0% Too few 0 of 1 mints, too few to tell" in figure(html, "success")


def test_a_request_that_is_not_settled_is_never_good_news(
    sqlite_ledger: Ledger, ledger_page: httpx.Client, clock: FakeClock
) -> None:
    """A purchase that turned out to have too much may still have a credit of ours under way."""
    in_doubt(sqlite_ledger, book_of(sqlite_ledger, clock), clock, item(1))
    with sqlite_ledger.write() as connection:
        connection.execute(update(purchases).values(verdict=Verdict.OVER_CREDITED))
        told = {
            "payment_intent": "pi_1",
            "verdict": Verdict.OVER_CREDITED,
            "reason": Reason.CREDITED_WITHOUT_PAYMENT,
        }
        update_breaks(connection, [told], NOON)
        ran(connection)
        judged(connection)
    card = figure(ledger_page.get("/").text, "doubt")

    assert "In doubt 0 Info 1 purchase of another kind with a request that is not settled" in card


def test_stale_failed_and_held_are_said_first(sqlite_ledger: Ledger, ledger_page: httpx.Client) -> None:
    """What makes the figures worthless, or stops the sending, comes before any figure."""
    with sqlite_ledger.write() as connection:
        ran(connection, NOON - timedelta(hours=3))
    stale = ledger_page.get("/").text
    with sqlite_ledger.write() as connection:
        run = Run("run-2", NOON, NOON, True, None, None, Outcome.SOURCE_UNREADABLE, "no Stripe", {})
        begin_run(connection, run)
    failed = ledger_page.get("/").text
    with sqlite_ledger.write() as connection:
        raise_hold(connection, HoldKind.PERSON, Signed("Kim", NOON, "the indexer is being moved"))
    held = ledger_page.get("/").text

    assert "Stale: no run has come to its end for 3 h." in stale
    assert "The last run failed: source unreadable." in failed
    assert "Held: nothing is sent until a person releases it." in held
    assert "raised 0 s ago by Kim: the indexer is being moved" in words(held)


def test_a_run_that_was_held_is_no_good_day(sqlite_ledger: Ledger, ledger_page: httpx.Client) -> None:
    """A gate that kept the newest run from sending is said, though no figure tells of it."""
    with sqlite_ledger.write() as connection:
        ran(connection, outcome=Outcome.HELD)
        judged(connection)

    assert "The last run was held: nothing more was sent." in ledger_page.get("/").text


def test_the_headline_is_as_grave_as_the_worst_figure(
    sqlite_ledger: Ledger, ledger_page: httpx.Client
) -> None:
    """Whatever is said first, a figure that is critical makes the first line so."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1, NOON - timedelta(hours=25))
        ran(connection, outcome=Outcome.HELD)
        judged(connection)
    html = ledger_page.get("/").text

    assert "The last run was held" in html
    assert '<div class="headline critical">' in html


def test_a_withheld_plan_says_how_to_approve_it(withheld: World) -> None:
    """A plan over its limits is a note at the top, with the command that lets it go."""
    with visiting(withheld.pipeline.settings.ledger_url) as visitor:
        text = words(visitor.get("/").text)

    assert "A plan is withheld and waits for an approval." in text
    assert f"ucred approve {withheld.run.summary['plan'][:12]} --by NAME" in text


def test_the_parts_are_in_their_order(client: httpx.Client) -> None:
    """From where things stand by way of the runs to single breaks, for who reads from the top."""
    found = re.findall(r"<h2[^>]*>(.*?)</h2>", client.get("/").text)

    assert found == [
        "Figures",
        "Control totals",
        "Over time",
        "Open breaks by age",
        "Alerts",
        "Runs",
        "Last whole read of each source",
        "Oldest open breaks",
    ]


def test_the_requests_of_the_totals_are_in_words(world: World, client: httpx.Client) -> None:
    """Requests took effect, and what was credited was so by them."""
    sent = world.run.summary["corrections"]["confirmed"]
    text = words(client.get("/").text)

    assert f"{sent} took effect" in text
    assert f"{sent} UCRED by requests that took effect" in text


def test_runs_lead_into_dagster(world: World, client: httpx.Client) -> None:
    """Each run is a link to where Dagster shows it, as the settings name it."""
    html = client.get("/").text

    assert f'href="http://127.0.0.1:3000/runs/{world.run.id}"' in html
    assert f"{world.run.summary['corrections']['confirmed']} of" in words(html)


def test_alerts_are_shown_once_somebody_evaluates_them(
    sqlite_ledger: Ledger, ledger_page: httpx.Client
) -> None:
    """What fires, what keeps it quiet, and what ceased are told apart in words; too many are counted."""
    none = words(ledger_page.get("/").text)
    hours = timedelta(hours=1)
    firing = Alert("k1", "mint_success_low", {}, Severity.CRITICAL, "88.9% worked", fired=NOON - 2 * hours)
    over = Alert(
        "k2", "retry_queue_long", {}, Severity.INFO, "14 wait", fired=NOON - 9 * hours, resolved=NOON
    )
    many = [
        Alert(f"m{number}", "doubt_old", {}, Severity.WARNING, "old", fired=NOON, acknowledged_by="Kim")
        for number in range(20)
    ]
    with sqlite_ledger.write() as connection:
        may_look(connection, NOON, hours)
        save_alerts(connection, {}, {one.key: one for one in (*many, over, firing)})
        silence(connection, "mint_success_low", NOON + hours, Signed("Kim", NOON, "known"))
        ran(connection)
    text = words(ledger_page.get("/").text)

    assert "No alerts are evaluated yet." in none
    assert "21 alerts are firing." in text
    assert "21 fire, of which the gravest are shown; ucred alerts lists them all. Evaluated 0 s ago." in text
    critical = "Critical Mint success low 88.9% worked firing for 2 h silenced until 2026-02-03 13:00 UTC"
    assert text.index(critical) < text.index("Warning Doubt old old firing for 0 s acknowledged by Kim")
    assert text.count("Doubt old") == 7
    assert "Resolved Retry queue long 14 wait resolved 0 s ago" in text


@pytest.mark.parametrize("minutes", [10, 11])
def test_alerts_that_nobody_evaluates_are_no_good_news(
    sqlite_ledger: Ledger, ledger_page: httpx.Client, minutes: int
) -> None:
    """Where the sensor has stopped, that nothing fires is said of then, and the first line is a warning."""
    with sqlite_ledger.write() as connection:
        may_look(connection, NOON - timedelta(minutes=minutes), timedelta(hours=1))
        ran(connection)
        judged(connection)
    html, late = ledger_page.get("/").text, minutes > 10

    assert (
        "The alerts have not been evaluated for 11 min. 0 alerts were firing 11 min ago." in words(html)
    ) == late
    assert ("0 alerts are firing." in html) == (not late)
    assert ('<div class="headline warning">' in html) == late


# Breaks and purchases


def test_breaks_are_filtered_sorted_and_paged(world: World, client: httpx.Client) -> None:
    """The list of each kind has its breaks and no others, and each leads to its own page."""
    with world.pipeline.ledger.read() as connection:
        everything = open_breaks(connection)
    for kind in KINDS:
        html = client.get("/breaks", params={"kind": kind, "sort": "newest"}).text
        listed = set(re.findall(r'href="/breaks/(brk_\w+)"', html))

        assert listed == {one.id for one in everything if one.kind == kind}
    assert {client.get(f"/breaks/{one.id}").status_code for one in everything} == {200}


def test_many_breaks_are_on_pages(sqlite_ledger: Ledger, ledger_page: httpx.Client) -> None:
    """From the first page one comes to every break, and to none twice."""
    with sqlite_ledger.write() as connection:
        for number in range(120):
            lacking(connection, number, NOON - timedelta(minutes=number % 7))
    address, found = "/breaks?sort=oldest", []
    while address:
        html = ledger_page.get(address).text
        found += re.findall(r'href="/breaks/(brk_\w+)"', html)
        onward = re.search(r'href="(/breaks\?[^"]+)" rel="next"', html)
        address = onward[1].replace("&amp;", "&") if onward else ""

    assert len(found) == len(set(found)) == 120


@pytest.mark.parametrize("asked", [{"kind": "over-credited"}, {"age": "1h"}, {"kind": "lacking\0"}])
def test_a_misspelt_filter_is_refused(client: httpx.Client, asked: dict[str, str]) -> None:
    """A list of some is never answered with all of them, least of all as a file that says nothing of it."""
    answers = [client.get(path, params=asked) for path in ("/breaks", "/breaks.csv")]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert "There is no such kind, or no such age, of breaks." in answers[0].text
    assert client.get("/breaks", params={"kind": "", "age": ""}).status_code == 200


def test_a_page_beyond_the_end_leads_back(sqlite_ledger: Ledger, ledger_page: httpx.Client) -> None:
    """Where what came next was resolved meanwhile, there is no claim that nothing is open."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1)
    html = ledger_page.get("/breaks", params={"after": f"{10**17}~brk_z"}).text

    assert "No further break is like that" in html
    assert "No open break is like that" not in html
    assert 'href="/breaks?sort=oldest">First page' in html


def test_csv_is_what_the_command_writes(world: World, client: httpx.Client) -> None:
    """The file has the columns and the breaks of `ucred breaks --format csv`, filtered as the list is."""
    whole = list(csv.DictReader(io.StringIO(client.get("/breaks.csv").text, newline="")))
    answer = client.get("/breaks.csv", params={"kind": "unpaid"})
    some = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    with world.pipeline.ledger.read() as connection:
        everything = open_breaks(connection)

    assert list(whole[0]) == list(FIELDS)
    assert [row["id"] for row in whole] == [one.id for one in everything]
    assert [row["id"] for row in some] == [row["id"] for row in whole if row["kind"] == "unpaid"] != []
    assert re.fullmatch(r'attachment; filename="[\w.:-]+\.csv"', answer.headers["content-disposition"])


def test_a_purchase_tells_its_whole_way(world: World, client: httpx.Client) -> None:
    """The page of a corrected purchase goes from payment to credit, and says what will be done."""
    with world.pipeline.ledger.read() as connection:
        name = connection.execute(select(corrections.c.payment_intent).limit(1)).scalar_one()
    text = words(client.get(f"/purchases/{name}").text)
    milestones = ("began to pay", "was issued", "Found as lacking", "was sent", "acknowledged it", "resolved")
    places = [text.find(told) for told in milestones]

    assert -1 not in places
    assert places == sorted(places)
    assert "What will be done Nothing: it is settled." in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_break_explains_itself(
    world: World, doubtful: World, withheld: World, kind: str
) -> None:
    """The page of a break says why the pipeline did or did not act, and what a person can do."""
    where = {Verdict.LACKING: withheld, Verdict.IN_DOUBT: doubtful}.get(Verdict(kind), world)
    with where.pipeline.ledger.read() as connection:
        one = open_breaks(connection, kind)[0]
    with visiting(where.pipeline.settings.ledger_url) as visitor:
        text = words(visitor.get(f"/breaks/{one.id}").text)

    assert Reason[one.reason.upper()].text in text.replace("&#39;", "'")
    assert "From payment to credit" in text
    assert f"break {one.id} was opened" in text
    needs_person = kind in {Verdict.LACKING, Verdict.IN_DOUBT, Verdict.AMBIGUOUS}
    assert ("What you can do" in text) == needs_person


def test_a_resolved_break_is_still_found(world: World, client: httpx.Client) -> None:
    """A link that somebody kept leads to the purchase after the break is over, and says so."""
    with world.pipeline.ledger.read() as connection:
        closed = (
            connection.execute(select(breaks.c.id).where(breaks.c.resolved.is_not(None))).scalars().first()
        )
    answer = client.get(f"/breaks/{closed}")

    assert answer.status_code == 200
    assert "this break is resolved" in answer.text


def search(client: httpx.Client, name: str) -> httpx.Response:
    """Look a name up as the form does."""
    return client.post("/search", data={"name": name})


def test_search_by_each_name(world: World, client: httpx.Client) -> None:
    """Payment, namespace, address and break lead to the purchase, and no address is in a URL."""
    with world.pipeline.ledger.read() as connection:
        one = open_breaks(connection, "unpaid")[0]
    address = str(one.account).removeprefix(USER_PREFIX)
    for name in (one.payment_intent, str(one.namespace), one.id, f"  {one.namespace} "):
        answer = search(client, name)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/purchases/{one.payment_intent}")
    by_address = search(client, address)
    found = by_address.text if by_address.status_code == 200 else by_address.headers["location"]

    assert one.payment_intent in found
    assert address not in str(by_address.url)
    assert "@" not in by_address.headers.get("location", "")


def test_search_finds_all_of_a_customer(world: World, client: httpx.Client) -> None:
    """A customer with several purchases gets the list of them."""
    account = world.sandbox.truth.of_case("many_purchases_lacking")[0].account
    with world.pipeline.ledger.read() as connection:
        bought = find_purchases(connection, purchases.c.account == account)
    answer = search(client, account.removeprefix(USER_PREFIX))

    assert answer.status_code == 200
    assert [one.payment_intent for one in bought] == re.findall(r'href="/purchases/(\w+)"', answer.text)


def test_search_in_other_capitals_and_in_vain(world: World, client: httpx.Client) -> None:
    """Another spelling is said to be one; what nothing has gives 404; what is endless is refused."""
    with world.pipeline.ledger.read() as connection:
        one = open_breaks(connection, "unpaid")[0]
    shouted = search(client, str(one.account).removeprefix(USER_PREFIX).upper())

    assert "Nothing is spelt exactly like that." in shouted.text
    assert search(client, "nobody@example.com").status_code == 404
    assert search(client, "").status_code == 404
    assert search(client, "x" * 5000).status_code == 413
    assert client.get("/search").status_code == 405


@pytest.mark.parametrize("body", ["a=1&b=2&c=3&d=4&e=5&name=none", "name", "=&&=", "%zz=%", "name=%00"])
def test_a_form_that_is_none_of_ours_finds_nothing(client: httpx.Client, body: str) -> None:
    """Whatever is sent to the search, it is no fault of the pipeline."""
    answer = client.post("/search", content=body)

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/purchases/%00", "/breaks/%00", "/breaks?sort=kind&after=%00~1~x"])
def test_what_no_database_has_is_not_its_fault(postgresql_url: str, path: str) -> None:
    """PostgreSQL takes no NUL in a text, and still the ledger can be read."""
    with visiting(postgresql_url) as visitor:
        asked, searched = visitor.get(path), search(visitor, "\0")

    assert asked.status_code == (200 if "?" in path else 404)
    assert searched.status_code == 404


def test_what_may_be_asked_is_told(client: httpx.Client) -> None:
    """A request of another kind is refused with the kinds that there are."""
    answer = client.delete("/breaks")

    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_what_is_not_there(client: httpx.Client) -> None:
    """Names that nothing has are 404, in the page's own look."""
    for path in (
        "/nothing",
        "/breaks/brk_000000000000",
        "/purchases/pi_none",
        "/static/../app.py",
        "/static/x",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "UCRED mint reconciliation" in answer.text


# Hostile values


@pytest.mark.parametrize(
    "name", [SCRIPT, '"><img src=x onerror=alert(1)>', "{{7*7}}", "\u202egnp.x", "a\x1b[31m", "x" * 5000]
)
def test_what_customers_wrote_is_text(sqlite_ledger: Ledger, ledger_page: httpx.Client, name: str) -> None:
    """A namespace becomes no markup, no template, no control code and no endless line, on any page."""
    with sqlite_ledger.write() as connection:
        payment = lacking(connection, 1)
        connection.execute(update(purchases).values(namespace=name, account=f"acct:user:{name}@x.com"))
    pages = [ledger_page.get(path).text for path in ("/", "/breaks", f"/purchases/{payment}")]
    pages.append(search(ledger_page, name).text)

    for html in pages:
        assert SCRIPT not in html
        assert "<img src=x" not in html
        assert "49" not in words(html).replace("UTC", "") or name != "{{7*7}}"
        assert not any(sign in html for sign in ("\u202e", "\x1b"))
        assert len(html) < 60_000


@pytest.mark.parametrize("opening", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(sqlite_ledger: Ledger, ledger_page: httpx.Client, opening: str) -> None:
    """A cell of the CSV that would be a formula begins with an apostrophe."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1)
        connection.execute(update(purchases).values(namespace=f"{opening}1+1"))
    row = next(csv.DictReader(io.StringIO(ledger_page.get("/breaks.csv").text, newline="")))

    assert row["namespace"] == f"'{opening}1+1"


@pytest.mark.parametrize(
    "name, told",
    [
        ("kim;=1+1", "kim;'=1+1"),
        ('kim; "=1+1"', 'kim;\' "=1+1"'),
        ("kim\t@x", "kim\t'@x"),
        ("kim\n+1", "kim\n'+1"),
        ("\N{FULLWIDTH EQUALS SIGN}1+1", "'\N{FULLWIDTH EQUALS SIGN}1+1"),
        ("kim+x;y-z=@w", "kim+x;y-z=@w"),
    ],
)
def test_no_part_of_a_cell_is_a_formula(
    sqlite_ledger: Ledger, ledger_page: httpx.Client, name: str, told: str
) -> None:
    """Where a spreadsheet parts cells by semicolons or tabs, what follows one is text as well."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1)
        connection.execute(update(purchases).values(namespace=name))
    row = next(csv.DictReader(io.StringIO(ledger_page.get("/breaks.csv").text, newline="")))

    assert row["namespace"] == told


def test_an_endless_reason_is_cut(sqlite_ledger: Ledger, ledger_page: httpx.Client) -> None:
    """A reason of 10 MB, in a hold and in a run, is shown by its beginning and its length."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1)
        raise_hold(connection, HoldKind.PERSON, Signed("Kim", NOON, "why " * (ENDLESS // 4)))
        ran(connection, detail="z" * ENDLESS, outcome=Outcome.FAULT)
    answers = [ledger_page.get(path) for path in ("/", "/purchases/pi_1")]

    assert {answer.status_code for answer in answers} == {200}
    assert max(len(answer.content) for answer in answers) < 60_000
    assert "characters more)" in answers[0].text


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off(sqlite_ledger: Ledger, ledger_page: httpx.Client, hours: int) -> None:
    """Moments ahead of this machine's clock are said to be so, and break nothing."""
    with sqlite_ledger.write() as connection:
        lacking(connection, 1, NOON - timedelta(hours=hours), issued=NOON - timedelta(hours=hours))
        ran(connection, NOON - timedelta(hours=hours))
        judged(connection, NOON - timedelta(hours=hours))
    text = words(ledger_page.get("/").text)

    assert ("in 60 min (a clock is off)" in text or "in 1 h (a clock is off)" in text) == (hours < 0)
    assert ("the age of the data is not known" in text) == (hours < 0)
    assert "data is current" not in text
    assert ("Missing credits 1 Warning" in text) is True
    assert ledger_page.get("/metrics").status_code == 200


# Who may look


@pytest.mark.parametrize("path", ["/", "/breaks", "/metrics", "/healthz", "/static/page.js", "/nothing"])
def test_every_answer_has_the_headers_of_safety(client: httpx.Client, path: str) -> None:
    """Nothing but our own files may run or be shown, nobody may frame it, and no address leaks by a link."""
    headers = client.get(path).headers

    assert headers["content-security-policy"].startswith(f"{POLICY};")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers
    assert ("immutable" in headers["cache-control"]) == path.startswith("/static")


def test_nothing_inline(client: httpx.Client) -> None:
    """No page has a script, a style or a handler in its markup, nor anything from another host."""
    for path in ("/", "/breaks", "/purchases/none"):
        html = client.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html)
        assert not re.search(r'(?:src|<link[^>]*href)="(?!/static/)', html)


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8350", "127.0.0.1.evil.example", "", "[::2]"])
def test_another_name_is_not_served(client: httpx.Client, name: str) -> None:
    """A name that was made to point at this machine gets nothing, whatever the page asked for."""
    answer = client.get("/", headers={"host": name})

    assert answer.status_code == 421
    assert "UCRED mint" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/breaks", "/breaks?kind=lacking&age=1h-4h", "/breaks/a%3Fb%20c", "/breaks/%5Cevil.example", "/metrics"],
)
def test_a_redirect_stays_here(sqlite_ledger: Ledger, sqlite_url: str, path: str) -> None:
    """An address with a slash too many leads to the one without, under whatever name it was asked for."""
    assert sqlite_ledger.file is not None
    place, mark, asked = path.partition("?")
    headers = {"authorization": f"Bearer {TOKEN}", "host": "evil.example"}
    with visiting(sqlite_url, token=TOKEN) as visitor:
        answer = visitor.get(f"{place}/{mark}{asked}", headers=headers)

    assert answer.status_code == 307
    assert answer.headers["location"] == path


@pytest.mark.parametrize("path", [b"//evil.example/", b"/nothing/", b"/purchases"])
def test_what_is_not_there_leads_nowhere(client: httpx.Client, path: bytes) -> None:
    """An address that is none of ours is not redirected."""
    answer = client.get(httpx.URL(client.base_url, raw_path=path))

    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize("name", ["localhost", "localhost:1", "127.0.0.1:8350", "[::1]:8350"])
def test_names_of_this_machine_are_served(client: httpx.Client, name: str) -> None:
    """The names of loopback are served, whatever the port that a tunnel has."""
    assert client.get("/healthz", headers={"host": name}).status_code == 200


def basic(password: str, user: str = "anybody") -> str:
    """What a browser sends for a user and a password."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    "given, status",
    [
        (basic(TOKEN), 200),
        (basic(TOKEN, "über"), 200),
        (f"Bearer {TOKEN}", 200),
        ("", 401),
        (basic("wrong"), 401),
        (basic(""), 401),
        (f"Basic {TOKEN}", 401),
        ("Basic %%%", 401),
        ("Bearer", 401),
        (f"Digest {TOKEN}", 401),
    ],
)
def test_a_token_is_asked_for(sqlite_url: str, given: str, status: int) -> None:
    """With a token nothing is shown without it, and nothing but that the process is well."""
    with visiting(sqlite_url, token=TOKEN) as visitor:
        headers = {"authorization": given, "host": "ucred.example"}
        answers = [visitor.get(path, headers=headers) for path in ("/", "/metrics", "/static/page.css")]
        health = visitor.get("/healthz")

    assert {answer.status_code for answer in answers} == {status}
    assert health.status_code == 200
    assert ("www-authenticate" in answers[0].headers) == (status == 401)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_token_may_have_any_letters(sqlite_url: str, scheme: str) -> None:
    """A token beyond ASCII is the same one in either scheme, byte for byte."""
    token = "sechzehn größere Zeichen"
    given = basic(token).encode() if scheme == "Basic" else f"Bearer {token}".encode()
    with visiting(sqlite_url, token=token) as visitor:
        answer = visitor.get("/metrics", headers={b"authorization": given})

    assert answer.status_code == 200


def test_a_ledger_that_cannot_be_read_is_said_to_be_so(tmp_path: Any) -> None:
    """Every page says why there are no figures, with 503."""
    with visiting(f"sqlite:///{(tmp_path / 'none.db').as_posix()}") as visitor:
        answers = [visitor.get(path) for path in ("/", "/breaks", "/breaks.csv", "/purchases/pi_1")]
        answers.append(search(visitor, "any"))

    assert {answer.status_code for answer in answers} == {503}
    assert all("There is no ledger yet" in answer.text for answer in answers)


def test_a_fault_says_nothing_of_the_ledger(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong while a page is made is told by its kind and place, never by its text."""

    def fail(*_: object) -> None:
        raise LookupError("acct:user:kim@example.com")

    monkeypatch.setattr("ucred_pipeline.reporting.page.first_page.read_dashboard", fail)
    with visiting(sqlite_url) as visitor:
        answer = visitor.get("/")

    assert answer.status_code == 500
    assert "kim@example.com" not in answer.text + caplog.text
    assert "LookupError" in caplog.text


def test_rules_are_those_of_the_settings(sqlite_ledger: Ledger, sqlite_url: str, clock: FakeClock) -> None:
    """The limits that are drawn and told are the ones in force, and they decide the words."""
    rules = Rules.model_validate({"thresholds": {"missing_purchases": 5, "mint_success_percent": 42.5}})
    with sqlite_ledger.write() as connection:
        lacking(connection, 1)
        judged(connection)
    with visiting(sqlite_url, clock=clock, rules=rules) as visitor:
        html = visitor.get("/").text

    assert "floor 42.5%" in figure(html, "success")
    assert 'data-limit="42.5"' in html
    assert "Missing credits 1 Good" in figure(html, "missing")
