"""Stripe read over HTTP: whole, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest

from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.stripe import PaymentsRead, StripeAccess, StripeSource, Window
from ucred_pipeline.sources.stripe_connection import STRIPE_VERSION
from ucred_pipeline_tests.sources.loopback import Handler, document, dropped, hung, serving, status, truncated
from ucred_pipeline_tests.sources.small_stripe import (
    KEY,
    NOON,
    SmallStripe,
    dispute,
    error,
    event,
    forbidden,
    intent,
    refund,
)

T = TypeVar("T")
NOW = datetime.fromtimestamp(NOON + 7200, UTC)
DAY = Window(datetime(2026, 1, 9, tzinfo=UTC), datetime(2026, 1, 9, 13, 59, tzinfo=UTC))


class StandingClock:
    """A clock that stands."""

    def now(self) -> datetime:
        """Two hours after noon."""
        return NOW

    def monotonic(self) -> float:
        """No time passes."""
        return 0.0


@asynccontextmanager
async def source_of(stripe: Handler, **changes: object) -> AsyncIterator[StripeSource]:
    """Open a source over a server."""
    async with serving(stripe) as base:
        settings = {"key": KEY, "base": base, "requests_per_second": 1e6, "pause_s": 0.001, "timeout_s": 5.0}
        access = StripeAccess(**{**settings, **changes})  # type: ignore[arg-type]
        async with StripeSource(access, StandingClock()) as source:
            yield source


def reading(stripe: Handler, read: Callable[[StripeSource], Awaitable[T]], **changes: object) -> T:
    """Run one read in a loop of its own."""

    async def run() -> T:
        async with source_of(stripe, **changes) as source:
            return await read(source)

    return asyncio.run(run())


def swept(
    stripe: Handler, window: Window = DAY, done: tuple[Window, ...] = (), **changes: object
) -> list[Payment]:
    """Sweep a window and give what was closed."""
    payments: list[Payment] = []

    async def sweep(source: StripeSource) -> None:
        await source.sweep(window, lambda _, closed: payments.extend(closed), done)

    reading(stripe, sweep, **changes)
    return sorted(payments, key=lambda payment: payment.id)


def paths(stripe: SmallStripe) -> list[str]:
    """Give the paths asked for so far."""
    return [request.path for request in stripe.asked]


def test_a_sweep_joins_payments_with_refunds_and_disputes() -> None:
    """Refunds and disputes come from their own lists, all from the window's start up to now."""
    stripe = SmallStripe()
    stripe.add("payment_intents", intent("a"), intent("b", NOON + 5, amount_refunded=3500, refunded=True))
    stripe.add("payment_intents", intent("c", NOON + 9, disputed=True))
    stripe.add("refunds", refund("b", at=NOON + 7000))
    stripe.add("disputes", dispute("c", "lost", at=NOON + 7100))

    payments = swept(stripe)

    assert [(each.id, each.refunded, each.dispute) for each in payments] == [
        ("pi_a", 0, Dispute.NONE),
        ("pi_b", 3500, Dispute.NONE),
        ("pi_c", 0, Dispute.LOST),
    ]
    assert sorted(paths(stripe)) == ["/v1/disputes", "/v1/payment_intents", "/v1/refunds"]


def test_a_sweep_covers_exactly_its_window() -> None:
    """The start belongs to the window, its end does not, and what is done is not read again."""
    start = int(DAY.since.timestamp())
    stripe = SmallStripe()
    stripe.add(
        "payment_intents", *(intent(str(second), start + second) for second in (-1, 0, 99, 100, 199, 200))
    )
    done = Window(DAY.since + timedelta(seconds=100), DAY.since + timedelta(seconds=150))
    window = Window(DAY.since, DAY.since + timedelta(seconds=200))

    assert [each.id for each in swept(stripe, window, (done,))] == ["pi_0", "pi_199", "pi_99"]


def test_a_resumed_sweep_knows_the_refunds_of_its_oldest_part() -> None:
    """Refunds are listed from the oldest gap on, so that nothing need be read again."""
    stripe = SmallStripe()
    stripe.add("payment_intents", intent("a", NOON, amount_refunded=3500))
    stripe.add("refunds", refund("a", at=NOON + 10))
    middle = datetime.fromtimestamp(NOON + 60, UTC)

    payments = swept(stripe, done=(Window(middle, middle + timedelta(seconds=60)),))

    assert [each.refunded for each in payments] == [3500]
    assert not any(path.startswith("/v1/payment_intents/") for path in paths(stripe))


def test_a_window_that_is_done_costs_nothing() -> None:
    """Resuming a sweep that was complete asks Stripe for nothing."""
    stripe = SmallStripe()

    assert swept(stripe, DAY, (DAY,)) == []
    assert stripe.asked == []


def test_several_pages_are_read_whole() -> None:
    """Three thousand payments, a burst among them, each once."""
    stripe = SmallStripe()
    stripe.add("payment_intents", *(intent(f"{n:04}", NOON - (n if n < 1500 else 700)) for n in range(3000)))

    assert [each.id for each in swept(stripe)] == [f"pi_{n:04}" for n in range(3000)]


@pytest.mark.parametrize("kind", ["refund", "second refund", "dispute", "failed refund"])
def test_a_change_between_the_lists_is_read_again(kind: str) -> None:
    """A refund or a dispute that came after its list was read is found through the charge."""
    stripe = SmallStripe()
    stripe.add("payment_intents", intent("a"))
    if kind in {"second refund", "failed refund"}:
        stripe.add("refunds", refund("a", 500))

    def change(read: str) -> None:
        if read != "payment_intents":
            return
        match kind:
            case "dispute":
                stripe.rows["payment_intents"] = [intent("a", disputed=True)]
                stripe.rows["disputes"] = [dispute("a", "lost")]
            case "failed refund":
                stripe.rows["refunds"] = [refund("a", 500, "failed")]
            case _:
                earlier = [refund("a", 500)] if kind == "second refund" else []
                stripe.rows["refunds"] = [*earlier, refund("a", 3000)]
                given = sum(row["amount"] for row in stripe.rows["refunds"])
                stripe.rows["payment_intents"] = [intent("a", amount_refunded=given)]

    stripe.reading = change
    (payment,) = swept(stripe)

    expected = {
        "refund": (3000, Dispute.NONE),
        "second refund": (3500, Dispute.NONE),
        "dispute": (0, Dispute.LOST),
        "failed refund": (0, Dispute.NONE),
    }
    assert (payment.refunded, payment.dispute) == expected[kind]


def test_payments_are_read_by_id() -> None:
    """Each with its own refunds and disputes on all pages, and those that Stripe does not know apart."""
    stripe = SmallStripe()
    stripe.add("payment_intents", intent("a"), intent("b", amount_refunded=250), intent("c", disputed=True))
    stripe.add("refunds", *(refund("b", 1, at=NOON + n) for n in range(250)), refund("a", 7))
    stripe.add("disputes", dispute("c", "under_review"))

    read = reading(
        stripe, lambda source: source.payments(["pi_a", "pi_b", "pi_c", "pi_gone", "pi_a", "../x", ""])
    )

    assert {each.id: (each.refunded, each.dispute) for each in read.payments} == {
        "pi_a": (0, Dispute.NONE),
        "pi_b": (250, Dispute.NONE),
        "pi_c": (0, Dispute.OPEN),
    }
    assert read.unknown == {"pi_gone", "../x", ""}
    assert paths(stripe).count("/v1/payment_intents/pi_a") == 1


def test_a_payment_that_nothing_happened_to_costs_one_request() -> None:
    """A charge that shows neither refund nor dispute needs no lists."""
    stripe = SmallStripe()
    stripe.add("payment_intents", intent("a"))

    reading(stripe, lambda source: source.payments(["pi_a"]))

    assert paths(stripe) == ["/v1/payment_intents/pi_a"]


def test_events_point_at_payments() -> None:
    """Each kind of event leads to its PaymentIntent, once, and only those of the time asked for."""
    stripe = SmallStripe()
    bare = {**refund("d"), "payment_intent": None}
    del bare["payment_intent"]
    stripe.add(
        "charges", intent("d")["latest_charge"], {**intent("x")["latest_charge"], "payment_intent": None}
    )
    stripe.add(
        "events",
        event(1, "payment_intent.succeeded", intent("a")),
        event(2, "payment_intent.canceled", intent("a"), NOON + 1),
        event(3, "charge.refunded", intent("b")["latest_charge"]),
        event(4, "charge.dispute.closed", dispute("c", "lost")),
        event(5, "refund.failed", bare),
        event(6, "charge.refunded", {**intent("x")["latest_charge"], "payment_intent": None}),
        event(7, "refund.updated", {**refund("e"), "charge": None}),
        event(8, "customer.created", intent("other")),
        event(9, "payment_intent.created", intent("early"), NOON - 1),
        event(10, "payment_intent.created", intent("late"), NOON + 7200 - 60),
    )
    since = datetime.fromtimestamp(NOON, UTC) + timedelta(microseconds=5)

    changed = reading(stripe, lambda source: source.changed_since(since))

    assert changed == {"pi_a", "pi_b", "pi_c", "pi_d", "pi_e"}


def test_nothing_has_settled_within_the_last_minute() -> None:
    """Events of the last minute may be missing yet, so there is nothing to ask for."""
    stripe = SmallStripe()

    assert reading(stripe, lambda source: source.changed_since(NOW - timedelta(seconds=30))) == frozenset()
    assert stripe.asked == []


def test_events_that_stripe_has_forgotten_are_no_empty_list() -> None:
    """A cursor beyond the life of events would read as "nothing changed": it ends the run instead."""
    with pytest.raises(SourceUnreadable, match="Stripe keeps them for 30 days") as refusal:
        reading(SmallStripe(), lambda source: source.changed_since(NOW - timedelta(days=29, seconds=1)))

    assert "Sweep" in refusal.value.advice


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1234])
@pytest.mark.parametrize("spread", [0, 1, 1000])
def test_the_oldest_payment_is_found(count: int, spread: int) -> None:
    """However many there are and however they lie, in a few requests."""
    stripe = SmallStripe()
    stripe.add("payment_intents", *(intent(str(n), NOON - n * spread) for n in range(count)))

    oldest = reading(stripe, lambda source: source.oldest())

    assert oldest == (datetime.fromtimestamp(NOON - (count - 1) * spread, UTC) if count else None)
    assert len(stripe.asked) <= 31


def test_preflight_tries_each_endpoint() -> None:
    """Five small requests show that the key may read all that a run reads."""
    stripe = SmallStripe()

    reading(stripe, lambda source: source.preflight())

    kinds = {"payment_intents", "charges", "refunds", "disputes", "events"}
    assert sorted(paths(stripe)) == sorted(f"/v1/{kind}" for kind in kinds)
    assert {request.query["limit"] for request in stripe.asked} == {"1"}
    assert {request.headers["Stripe-Version"] for request in stripe.asked} == {STRIPE_VERSION}
    assert not any("telemetry" in str(request.headers).lower() for request in stripe.asked)


def test_preflight_names_every_missing_permission() -> None:
    """One look at the message is enough to mend the key."""
    stripe = SmallStripe()
    stripe.instead = {
        "refunds": forbidden("rak_charge_read"),
        "disputes": forbidden("rak_dispute_read"),
        "events": error(403, "no"),
    }

    with pytest.raises(SourceUnreadable) as refusal:
        reading(stripe, lambda source: source.preflight())

    for name in ("Charges and Refunds: read (rak_charge_read)", "Disputes: read", "Events: read"):
        assert name in str(refusal.value)
    assert "PaymentIntents" not in str(refusal.value)


Reads = Callable[[StripeSource], Awaitable[object]]
EVERY_READ = {
    "preflight": lambda source: source.preflight(),
    "sweep": lambda source: source.sweep(DAY, lambda _window, _payments: None),
    "oldest": lambda source: source.oldest(),
    "events": lambda source: source.changed_since(NOW - timedelta(hours=3)),
    "payments": lambda source: source.payments(["pi_a"]),
}


@pytest.fixture(params=EVERY_READ)
def read(request: pytest.FixtureRequest) -> Reads:
    """Each read of the source, one after another."""
    return EVERY_READ[request.param]


@pytest.mark.parametrize(
    "fault, message",
    [
        pytest.param(
            error(401, f"Invalid API Key provided: {KEY}"), "the key is refused .HTTP 401.", id="401"
        ),
        pytest.param(forbidden("rak_charge_read"), "Charges and Refunds: read", id="403"),
        pytest.param(error(400, f"Bad {KEY}", "bad"), "HTTP 400 from .* bad req_123", id="400"),
        pytest.param(status(302, Location="http://127.0.0.1:9/"), "HTTP 302", id="redirect"),
        pytest.param(status(404), "HTTP 404", id="404"),
        pytest.param(status(500), "HTTP 500, 3 times in a row", id="500"),
        pytest.param(status(429), "HTTP 429, 3 times in a row", id="429"),
        pytest.param(
            status(429, Retry_After="3600"), "HTTP 429 with a pause of 3600 s from", id="long pause"
        ),
        pytest.param(status(200), "not JSON, or not whole, 3 times", id="HTML"),
        pytest.param(document([]), "`object` of an answer", id="list"),
        pytest.param(truncated, "broke off .ClientPayloadError., 3 times", id="truncated"),
        pytest.param(dropped, "broke off .ServerDisconnectedError., 3 times", id="dropped"),
        pytest.param(hung, "no whole answer within 0.1 s, 3 times", id="hung"),
    ],
)
def test_what_cannot_be_read_ends_the_read(read: Reads, fault: Handler, message: str) -> None:
    """Every fault that lasts ends every read, with what and where, and without the key."""
    with pytest.raises(SourceUnreadable, match=message) as refusal:
        reading(fault, read, attempts=3, timeout_s=0.1 if fault is hung else 5.0)

    assert refusal.value.source == "Stripe"
    assert refusal.value.advice
    assert KEY not in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(429), id="429"),
        pytest.param(status(429, Retry_After="0.05"), id="429 with a pause"),
        pytest.param(status(429, Retry_After="Fri, 09 Jan 2026 13:59:59 GMT"), id="429 with a date"),
        pytest.param(status(502), id="502"),
        pytest.param(status(200), id="HTML"),
        pytest.param(truncated, id="truncated"),
        pytest.param(dropped, id="dropped"),
        pytest.param(hung, id="hung"),
    ],
)
def test_what_passes_is_read_again(fault: Handler) -> None:
    """Two faults in a row cost time, and no payment."""
    stripe = SmallStripe()
    stripe.add("payment_intents", *(intent(f"{n:03}", NOON - n) for n in range(250)))
    stripe.next_answers.extend([fault] * 2)

    assert len(swept(stripe, timeout_s=0.3 if fault is hung else 5.0, attempts=3)) == 250


def test_a_pause_that_stripe_asks_for_is_kept() -> None:
    """After 429 nothing is sent to that endpoint before `Retry-After` is over."""
    stripe = SmallStripe()
    stripe.next_answers.append(status(429, Retry_After="0.3"))
    sent: list[float] = []

    async def read(source: StripeSource) -> PaymentsRead:
        loop = asyncio.get_running_loop()
        started = loop.time()
        stripe.reading = lambda _: sent.append(loop.time() - started)
        await asyncio.gather(source.payments(["pi_a"]), _later(0.05, source.payments(["pi_b"])))
        return await source.payments(["pi_c"])

    reading(stripe, read)

    assert len(sent) == 3
    assert min(sent) >= 0.29


async def _later(delay: float, read: Awaitable[T]) -> T:
    await asyncio.sleep(delay)
    return await read


def test_requests_are_spaced_out() -> None:
    """No endpoint sees more requests a second than the setting allows."""
    stripe = SmallStripe()
    sent: list[float] = []

    async def read(source: StripeSource) -> PaymentsRead:
        stripe.reading = lambda _: sent.append(asyncio.get_running_loop().time())
        return await source.payments([f"pi_{n}" for n in range(30)])

    reading(stripe, read, requests_per_second=50)

    assert sent[-1] - sent[0] >= 0.3  # 30 requests, of which 10 may come at once


def test_requests_of_all_endpoints_are_spaced_out() -> None:
    """A test account takes no more in all than one endpoint does, a live one four times as much."""
    stripe = SmallStripe()
    stripe.add("payment_intents", *(intent(str(n), disputed=True) for n in range(20)))
    sent: list[float] = []

    async def read(source: StripeSource) -> PaymentsRead:
        stripe.reading = lambda _: sent.append(asyncio.get_running_loop().time())
        return await source.payments([f"pi_{n}" for n in range(20)])

    reading(stripe, read, requests_per_second=100)

    assert len(sent) == 60
    assert sent[-1] - sent[0] >= 0.3  # 60 requests, of which 20 may come at once
    assert StripeAccess("rk_live_x").total_per_second == 80


def test_connections_are_bounded() -> None:
    """Rereading what changed during a sweep opens no more connections than there are workers."""
    stripe = SmallStripe()
    stripe.latency = 0.005
    stripe.add("payment_intents", *(intent(str(n), NOON - 60 * n, amount_refunded=1) for n in range(40)))
    middle = datetime.fromtimestamp(NOON - 60 * 20 + 1, UTC)

    assert len(swept(stripe, done=(Window(middle, middle + timedelta(seconds=1)),), workers=3)) == 40
    assert stripe.most_under_way == 3


@pytest.mark.parametrize("pages", ["empty", "again", "early"])
def test_a_walk_that_does_not_advance_is_no_whole_walk(pages: str) -> None:
    """A list that says it has more and shows nothing new was not read to its end."""
    rows = {
        "empty": [],
        "again": [intent("a")],
        "early": [intent(str(n), NOON - n) for n in range(3)],
    }[pages]

    with pytest.raises(SourceUnreadable, match=r"does not advance|out of order"):
        swept(_kinds(document({"data": rows, "has_more": True})))


def _kinds(intents: Handler) -> SmallStripe:
    stripe = SmallStripe()
    stripe.instead["payment_intents"] = intents
    return stripe


@pytest.mark.parametrize("body", [{"data": []}, {"has_more": False}, {"data": {}, "has_more": False}])
def test_a_list_says_whether_it_goes_on(body: object) -> None:
    """Without `has_more` nobody knows whether the list is whole."""
    with pytest.raises(SourceUnreadable, match=r"`(data|has_more)` of"):
        swept(_kinds(document(body)))


@pytest.mark.parametrize("key", ["sk_live_x", "rk_live_x"])
def test_modes_are_never_mixed(key: str) -> None:
    """A live key that is answered with test data reads nothing."""
    answer = document({"data": [intent("a")], "has_more": False})

    with pytest.raises(SourceUnreadable, match="a live key, but pi_a is of the other mode"):
        reading(answer, lambda source: source.oldest(), key=key)


@pytest.mark.parametrize("key", ["", "pk_live_x", "whsec_x", "sk_live_", "sk_test_x\r\nX-Other: y"])
def test_other_keys_are_refused_unsent(key: str) -> None:
    """A publishable key, or none, cannot read; it is named by what it is not."""
    with pytest.raises(SourceUnreadable, match="not a secret or restricted key"):
        reading(SmallStripe(), lambda source: source.oldest(), key=key)


def test_a_payment_cannot_come_back_as_another() -> None:
    """An answer about another object is no answer."""
    with pytest.raises(SourceUnreadable, match="asked for pi_b"):
        reading(document(intent("a")), lambda source: source.payments(["pi_b"]))


def test_nobody_listening_is_said_with_the_place() -> None:
    """Stripe out of reach is named with its address, after the attempts are used up."""

    async def run() -> None:
        async with serving(SmallStripe()) as base:
            pass
        access = StripeAccess(KEY, base, attempts=2, pause_s=0.001)
        async with StripeSource(access) as source:
            await source.oldest()

    with pytest.raises(
        SourceUnreadable, match=r"no connection could be made, 2 times in a row, from http://127"
    ):
        asyncio.run(run())


@pytest.mark.parametrize("credentials", ["user:secret", "secret", ":secret"])
def test_credentials_in_the_address_are_refused(credentials: str) -> None:
    """The key authenticates; what else the address holds is not shown."""

    async def run() -> None:
        async with StripeSource(StripeAccess(KEY, f"http://{credentials}@127.0.0.1:9")):
            pass

    with pytest.raises(SourceUnreadable, match="STRIPE_API_BASE holds a user or a password") as refusal:
        asyncio.run(run())

    assert "secret" not in str(refusal.value)


def test_progress_counts_what_was_read() -> None:
    """Somebody who waits sees how many objects there were so far."""
    stripe = SmallStripe()
    stripe.add("payment_intents", *(intent(str(n), NOON - n) for n in range(150)))
    seen: list[int] = []

    async def run() -> None:
        async with serving(stripe) as base:
            access = StripeAccess(KEY, base, requests_per_second=1e6)
            async with StripeSource(access, StandingClock(), seen.append) as source:
                await source.sweep(DAY, lambda _window, _payments: None)

    asyncio.run(run())

    assert seen == sorted(seen)
    assert seen[-1] == 150


def test_without_a_base_it_is_stripe_itself() -> None:
    """The address that nobody set is Stripe's own, over TLS with the certificates that Stripe ships."""

    async def run() -> None:
        async with StripeSource(StripeAccess(KEY)):
            pass

    asyncio.run(run())

    assert StripeAccess(KEY).base == "https://api.stripe.com"


def test_the_key_is_not_shown() -> None:
    """Neither a log nor a traceback that prints the access shows the key."""
    assert KEY not in repr(StripeAccess(KEY))


@pytest.mark.parametrize("workers", [0, 11])
def test_workers_are_few(workers: int) -> None:
    """More than ten connections gain nothing under Stripe's quota, and take from the checkout."""
    with pytest.raises(ValueError, match="from 1 to 10"):
        StripeAccess(KEY, workers=workers)


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    """Times are compared as moments, wherever the caller lives."""
    stripe = SmallStripe()
    stripe.add("events", event(1, "payment_intent.succeeded", intent("a")))
    since = datetime.fromtimestamp(NOON, ZoneInfo("Pacific/Auckland"))

    assert reading(stripe, lambda source: source.changed_since(since)) == {"pi_a"}
