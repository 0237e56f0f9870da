"""The desk of alerts on a real ledger, and services on real HTTP that take messages, or do not."""

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import pytest
from apprise.plugins import pagerduty
from sqlalchemy import select

from ucred_pipeline.alert_routes import read_routes
from ucred_pipeline.domain.alert_states import Event
from ucred_pipeline.domain.alerts import CATALOGUE, FLOOD, RULES, Severity
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.alerts import acknowledge, find_alerts, read_alerts, silence
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.safety import Signed, release_holds
from ucred_pipeline.ledger.schema import outbox
from ucred_pipeline.reporting.alert_list import document, render
from ucred_pipeline.reporting.alerts import Desk, routes_of
from ucred_pipeline.reporting.notifications import Trial, send_trial
from ucred_pipeline.settings import Settings, load_settings
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.reporting import troubles
from ucred_pipeline_tests.reporting.receiver import Receiver
from ucred_pipeline_tests.reporting.troubles import LATER, TROUBLES
from ucred_pipeline_tests.reporting.worlds import shown

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def settings_of(*urls: str, **variables: str) -> Settings:
    """Make settings with routes."""
    told = {"UCRED_DATABASE_URL": "sqlite:///ledger.db", "UCRED_ALERT_URLS": "\n".join(urls)}
    return load_settings(environ=told | variables)


@dataclass
class Watch:
    """A desk that is tended every minute."""

    ledger: Ledger
    clock: FakeClock
    desk: Desk

    def minutes(self, count: int = 1) -> str:
        """Let minutes pass; give what the desk said last."""
        said = ""
        for _ in range(count):
            self.clock.advance(MINUTE)
            said = self.desk.tend(45)
        return said

    def away(self, span: timedelta) -> "Watch":
        """Let time pass in which nobody looks."""
        self.clock.advance(span)
        return self

    def routed(self, *urls: str) -> "Watch":
        """The same with other routes."""
        settings = settings_of(*urls)
        return Watch(self.ledger, self.clock, Desk(settings, self.ledger, self.clock))

    def firing(self) -> Counter[str]:
        """How many alerts of each name fire."""
        with self.ledger.read() as connection:
            return Counter(one.name for one in read_alerts(connection).values() if one.is_firing)

    def listed(self) -> dict[str, Any]:
        """The list of alerts, as a document."""
        with self.ledger.read() as connection:
            return document(connection, routes_of(self.desk.settings), self.clock.now())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A service that takes messages."""
    with Receiver() as running:
        yield running


@pytest.fixture
def watch(sqlite_ledger: Ledger, clock: FakeClock, receiver: Receiver) -> Watch:
    """A desk with one route, on a ledger in which nothing has happened."""
    return watching(sqlite_ledger, clock, receiver.url())


def watching(ledger: Ledger, clock: FakeClock, *urls: str, **variables: str) -> Watch:
    """Make a desk on a ledger."""
    return Watch(ledger, clock, Desk(settings_of(*urls, **variables), ledger, clock))


def test_a_quiet_ledger_says_nothing(watch: Watch, receiver: Receiver) -> None:
    """Where nothing has happened nothing is told, and nothing is kept."""
    assert watch.minutes(5) == "0 alerts fire."

    assert (receiver.tries, watch.firing(), watch.listed()["alerts"]) == (0, Counter(), [])


@pytest.mark.parametrize("name", TROUBLES)
def test_each_alert_is_told_once(name: str, ledger: Ledger, clock: FakeClock, receiver: Receiver) -> None:
    """Each trouble is told by its alert, with its severity, once, and with where to read on."""
    clock.advance(LATER.get(name, timedelta(0)))
    TROUBLES[name](ledger)

    watching(ledger, clock, receiver.url()).minutes(4)

    title = f"[{RULES[name].severity.upper()}] UCRED {name}"
    told = [one for one in receiver.taken if one["title"] == title]
    assert len(told) == (2 if name == "purchase_missing_long" else 1)
    assert f"docs/alerts.md#{name}" in str(told[0]["message"])


def test_every_alert_has_its_trouble() -> None:
    """No alert of the catalogue is left untried."""
    assert set(TROUBLES) | {"route_failing"} == {rule.name for rule in CATALOGUE}


def test_a_run_and_its_silence(watch: Watch, receiver: Receiver) -> None:
    """The clock alone makes a reconciliation stale: 45 minutes after the last run that came to its end."""
    troubles.run(watch.ledger, Outcome.DONE, NOON)
    watch.away(40 * MINUTE).minutes(5)
    assert receiver.titles == []
    watch.minutes(2)
    assert receiver.titles == ["[CRITICAL] UCRED reconciliation_stale"]

    troubles.run(watch.ledger, Outcome.HELD, watch.clock.now(), name="later")
    watch.minutes(3)
    assert receiver.titles[1:] == ["[RESOLVED] UCRED reconciliation_stale"]
    assert "and is over" in str(receiver.taken[-1]["message"])


@pytest.mark.parametrize("job", ["settle_corrections", "housekeeping", "__ASSET_JOB"])
def test_only_a_reconciliation_is_fresh(watch: Watch, receiver: Receiver, job: str) -> None:
    """The retry queue may come to its end each minute: what is missing is not seen by it."""
    troubles.run(watch.ledger, Outcome.DONE, NOON)
    troubles.run(watch.ledger, Outcome.DONE, NOON + 40 * MINUTE, name="another", job=job)

    watch.away(45 * MINUTE).minutes(2)

    assert receiver.titles == ["[CRITICAL] UCRED reconciliation_stale"]


def test_a_run_that_read_nothing_is_not_fresh(watch: Watch, receiver: Receiver) -> None:
    """A run of some of the steps, as a click starts one, reads no source: what is missing is not seen."""
    troubles.run(watch.ledger, Outcome.DONE, NOON)
    troubles.run(watch.ledger, Outcome.DONE, NOON + 40 * MINUTE, name="a part", reads=False)

    watch.away(45 * MINUTE).minutes(2)

    assert receiver.titles == ["[CRITICAL] UCRED reconciliation_stale"]


def test_a_run_with_nothing_to_send_opens_no_gate(watch: Watch, receiver: Receiver) -> None:
    """A gate stays closed until a run that has something to send, or looks at everything, finds none."""
    troubles.run(watch.ledger, Outcome.HELD, NOON, hold="unknown_build")
    watch.minutes(2)
    quiet = Days(NOON - troubles.DAY, NOON)
    troubles.run(watch.ledger, Outcome.DONE, NOON + 3 * MINUTE, name="a quiet day", days=quiet)
    watch.minutes(3)
    assert receiver.titles == ["[WARNING] UCRED gate_closed"]

    troubles.run(watch.ledger, Outcome.DONE, watch.clock.now(), name="all that is open")
    watch.minutes(3)
    assert receiver.titles[1:] == ["[RESOLVED] UCRED gate_closed"]


def test_a_sender_that_is_stuck_is_told(watch: Watch, receiver: Receiver) -> None:
    """That another process sends is no news twice; three runs in a row that find one mean that it hangs."""
    for number in range(2):
        troubles.run(
            watch.ledger, Outcome.HELD, watch.clock.now(), hold="another_sender", name=f"run {number}"
        )
        watch.minutes(3)
    assert receiver.titles == []

    troubles.run(watch.ledger, Outcome.HELD, watch.clock.now(), hold="another_sender", name="run 2")
    watch.minutes(3)
    assert receiver.titles == ["[WARNING] UCRED gate_closed"]


FAR: Final = timedelta(days=300)


def test_an_end_ahead_of_the_clock_hides_no_silence(watch: Watch, receiver: Receiver) -> None:
    """A run that ended by a clock that was ahead is no news, whether another ended before it or none."""
    troubles.run(watch.ledger, Outcome.DONE, NOON + FAR)
    watch.away(2 * troubles.DAY).minutes(2)
    assert receiver.titles == ["[CRITICAL] UCRED reconciliation_stale"]

    troubles.run(watch.ledger, Outcome.DONE, watch.clock.now(), name="later")
    watch.minutes(3)
    assert receiver.titles[1:] == ["[RESOLVED] UCRED reconciliation_stale"]

    watch.away(45 * MINUTE).minutes(2)
    assert receiver.titles[2:] == ["[CRITICAL] UCRED reconciliation_stale"]


def test_a_run_ahead_of_the_clock_hides_no_gate(watch: Watch, receiver: Receiver) -> None:
    """The newest run is the one that has begun last by now."""
    troubles.run(watch.ledger, Outcome.DONE, NOON + FAR)
    troubles.run(watch.ledger, Outcome.HELD, hold="unknown_build", name="held")

    watch.minutes(2)

    assert receiver.titles == ["[WARNING] UCRED gate_closed"]


def test_a_failure_ahead_of_the_clock_does_not_last(watch: Watch, receiver: Receiver) -> None:
    """A run that failed by a clock that was ahead is not one of the last hour for months."""
    watch.clock.wall += FAR
    troubles.run(watch.ledger, Outcome.FAULT, watch.clock.now())
    watch.minutes(2)
    assert "[WARNING] UCRED runs_failed" in receiver.titles
    watch.clock.wall -= FAR
    troubles.run(watch.ledger, Outcome.DONE, watch.clock.now(), name="good")
    watch.minutes(3)

    assert watch.firing() == Counter()
    assert "[RESOLVED] UCRED runs_failed" in receiver.titles


def test_a_time_ahead_of_the_clock_is_old(watch: Watch) -> None:
    """What was first seen by a clock that was ahead is not young until the clock has caught up."""
    TROUBLES["purchase_missing_long"](watch.ledger)
    watch.clock.wall -= FAR

    watch.minutes(2)

    assert watch.firing()["purchase_missing_long"] == 2


def test_a_message_of_a_clock_that_was_ahead_gets_through(watch: Watch, receiver: Receiver) -> None:
    """Once the clock is right and the route answers, what waits is sent, and holds nothing back."""
    watch.clock.wall += 20 * troubles.DAY
    receiver.status = 500
    TROUBLES["held_by_person"](watch.ledger)
    watch.minutes(2)
    watch.clock.wall -= 20 * troubles.DAY
    receiver.status = 200
    watch.minutes(1)
    assert receiver.titles == [HELD]

    let_go(watch)
    assert receiver.titles == [HELD, LET_GO]


def test_a_silence_of_a_clock_that_was_ahead_ends(watch: Watch, receiver: Receiver) -> None:
    """When the clock steps back, what fires is told, and the list has no silence."""
    watch.clock.wall += 20 * troubles.DAY
    with watch.ledger.write() as connection:
        now = watch.clock.now()
        silence(connection, "all", now + 2 * HOUR, Signed("Ida", now, "the indexer is moved"))
    TROUBLES["held_by_person"](watch.ledger)
    watch.minutes(2)
    assert receiver.titles == []

    watch.clock.wall -= 20 * troubles.DAY
    watch.minutes(2)

    assert (receiver.titles, watch.listed()["silences"]) == ([HELD], [])


def test_what_fires_anew_in_a_silence_is_told_after_it(watch: Watch, receiver: Receiver) -> None:
    """It ended and began in a silence: at its end the new firing is told, and is not said to fire still."""
    TROUBLES["held_by_person"](watch.ledger)
    watch.minutes(2)
    with watch.ledger.write() as connection:
        now = watch.clock.now()
        silence(connection, "held_by_person", now + HOUR / 2, Signed("Ida", now, "an exercise"))
    let_go(watch)
    TROUBLES["held_by_person"](watch.ledger)
    watch.minutes(5)
    assert (receiver.titles, watch.listed()["alerts"][0]["sent"]) == ([HELD], False)

    watch.minutes(30)
    assert (receiver.titles, watch.listed()["alerts"][0]["sent"]) == ([HELD, HELD], True)

    let_go(watch)
    assert receiver.titles == [HELD, HELD, LET_GO]


def test_it_reminds_until_it_is_acknowledged(watch: Watch, receiver: Receiver) -> None:
    """A critical alert reminds each hour; acknowledged it does not, and its end is told all the same."""
    TROUBLES["indexer_forgot"](watch.ledger)
    watch.minutes(1)
    watch.away(57 * MINUTE).minutes(4)
    assert receiver.titles == ["[CRITICAL] UCRED indexer_forgot", "[CRITICAL, STILL] UCRED indexer_forgot"]
    with watch.ledger.write() as connection:
        (found,) = find_alerts(connection, "indexer_forgot")
        acknowledge(connection, found, Signed("Ida", watch.clock.now(), "looking"))
    assert watch.listed()["alerts"][0]["state"] == "acknowledged"

    for _ in range(3):
        watch.away(59 * MINUTE).minutes(2)
    assert len(receiver.titles) == 2
    with watch.ledger.write() as connection:
        release_holds(connection, Signed("Ida", watch.clock.now(), "restored"))
    watch.minutes(3)
    assert receiver.titles[2:] == ["[RESOLVED] UCRED indexer_forgot"]


@pytest.mark.parametrize("name", ["indexer_forgot", "all"])
def test_a_silence_has_an_end(watch: Watch, receiver: Receiver, name: str) -> None:
    """Nothing is sent while it lasts; what still fires at its end is told then."""
    with watch.ledger.write() as connection:
        silence(connection, name, NOON + 2 * HOUR, Signed("Ida", NOON, "the indexer is moved"))
    TROUBLES["indexer_forgot"](watch.ledger)
    watch.minutes(2)
    watch.away(115 * MINUTE).minutes(2)
    assert (receiver.titles, watch.listed()["alerts"][0]["state"]) == ([], "silenced")

    watch.minutes(2)
    assert receiver.titles == ["[CRITICAL] UCRED indexer_forgot"]


def test_a_route_that_is_down_for_an_hour_loses_nothing(
    ledger: Ledger, clock: FakeClock, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """What began and ended meanwhile is told in order when the route is back; another had it at once."""
    caplog.set_level(logging.DEBUG)
    with Receiver() as other:
        watch = watching(ledger, clock, receiver.url(), other.url("another-secret"))
        receiver.status = 503
        TROUBLES["token_refused"](watch.ledger)
        TROUBLES["purchases_unpaid"](watch.ledger)
        watch.minutes(20)
        with watch.ledger.write() as connection:
            troubles.mend(connection)
        watch.minutes(10)
        TROUBLES["token_refused"](watch.ledger)
        watch.minutes(30)
        assert receiver.taken == []
        assert receiver.tries > 10
        assert "route_failing" in watch.firing()
        receiver.status = 200
        watch.minutes(11)

        assert [title for title in receiver.titles if title.endswith("token_refused")] == [
            "[CRITICAL] UCRED token_refused",
            "[RESOLVED] UCRED token_refused",
            "[CRITICAL] UCRED token_refused",
        ]
        of_both = ["[WARNING] UCRED purchases_unpaid", "[WARNING] UCRED route_failing"]
        assert set(of_both) <= set(receiver.titles)
        assert set(receiver.titles) == set(other.titles)
    assert Counter(receiver.titles).most_common(1)[0][1] <= 2
    assert waiting(ledger) == 0
    assert "secret" not in caplog.text


def waiting(ledger: Ledger) -> int:
    """How many messages wait."""
    with ledger.read() as connection:
        return len(connection.execute(select(outbox.c.id).where(outbox.c.delivered.is_(None))).all())


def test_a_thousand_at_once_are_one_message(ledger: Ledger, clock: FakeClock, receiver: Receiver) -> None:
    """A thousand over-credits are one message that counts them, and a hold is told beside it."""
    troubles.over_credits(ledger, 1000)
    TROUBLES["token_refused"](ledger)
    watch = watching(ledger, clock, receiver.url())

    watch.minutes(5)

    assert sorted(receiver.titles) == ["[CRITICAL] UCRED alerts_withheld", "[CRITICAL] UCRED token_refused"]
    assert "1,000 over_credit" in receiver.text
    assert watch.firing() == {"over_credit": 1000, "token_refused": 1, FLOOD: 1}
    text = shown(render(watch.listed()), width=200)
    assert "more: ucred alerts --json" in text
    assert len(text.splitlines()) < 80


def test_routes_take_what_they_are_tagged_for(watch: Watch) -> None:
    """Severities are routed by apprise's tags; what has no tag takes everything."""
    with Receiver() as pager, Receiver() as chat, Receiver() as everything:
        watch = watch.routed(f"critical={pager.url()}", f"warning,info={chat.url()}", everything.url())
        TROUBLES["over_credit"](watch.ledger)
        TROUBLES["purchases_unissued"](watch.ledger)
        TROUBLES["purchases_ambiguous"](watch.ledger)
        watch.minutes(3)

        assert pager.titles == ["[CRITICAL] UCRED over_credit"]
        assert sorted(chat.titles) == [
            "[INFO] UCRED purchases_ambiguous",
            "[WARNING] UCRED purchases_unissued",
        ]
        assert sorted(everything.titles) == sorted(pager.titles + chat.titles)
        assert {one["title"]: one["type"] for one in everything.taken} == {
            "[CRITICAL] UCRED over_credit": "failure",
            "[WARNING] UCRED purchases_unissued": "warning",
            "[INFO] UCRED purchases_ambiguous": "info",
        }


def test_a_new_route_is_told_of_what_fires(watch: Watch, receiver: Receiver) -> None:
    """Whoever is added, or has a new address because a secret was rotated, is told of what fires already."""
    TROUBLES["over_credit"](watch.ledger)
    watch.minutes(2)
    with Receiver() as new:
        watch.routed(receiver.url(), new.url()).minutes(3)

        assert new.titles == receiver.titles == ["[CRITICAL] UCRED over_credit"]


def test_a_route_that_is_gone_keeps_what_waits_for_it(watch: Watch, receiver: Receiver) -> None:
    """An address that is missing for a while, by mistake, costs no message; the list says what waits."""
    receiver.status = 500
    TROUBLES["over_credit"](watch.ledger)
    watch.minutes(2)
    receiver.status = 200
    gone = watch.routed()
    gone.minutes(10)
    assert receiver.taken == []
    assert "does not name any more takes nothing; 1 message waiting" in shown(
        render(gone.listed()), width=200
    )

    watch.minutes(1)
    assert receiver.titles == ["[CRITICAL] UCRED over_credit"]


def test_a_slow_service_costs_the_others_nothing(watch: Watch, receiver: Receiver) -> None:
    """A service that does not answer in time has not taken the message; the other has it at once."""
    with Receiver(slow_s=4) as slow:
        watch = watch.routed(slow.url(), receiver.url())
        rules = watch.desk.settings.rules
        hasty = rules.model_copy(update={"alerts": rules.alerts.model_copy(update={"timeout_s": 1})})
        watch.desk = Desk(watch.desk.settings.model_copy(update={"rules": hasty}), watch.ledger, watch.clock)
        TROUBLES["over_credit"](watch.ledger)

        said = watch.minutes(1)

        assert receiver.titles == ["[CRITICAL] UCRED over_credit"]
        assert "1. JSON" in said
        assert "one failed" in said
        assert waiting(watch.ledger) == 1


def test_two_daemons_double_nothing(ledger: Ledger, clock: FakeClock, receiver: Receiver) -> None:
    """Two desks that look and deliver at the same time tell each thing once, and debounce as one."""
    for name in ("over_credit", "token_refused", "purchases_unpaid", "purchases_unissued"):
        TROUBLES[name](ledger)
    watches = [watching(ledger, clock, receiver.url()) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        clock.advance(MINUTE)
        list(pool.map(lambda watch: watch.desk.tend(45), watches))
        assert len(receiver.titles) == 2
        clock.advance(MINUTE)
        list(pool.map(lambda watch: watch.desk.tend(45), watches))

    assert len(receiver.titles) == len(set(receiver.titles)) == 4


def test_what_was_not_delivered_before_a_crash_is_delivered_after(watch: Watch, receiver: Receiver) -> None:
    """A look and a delivery are two steps: what the first wrote down the second finds, in any process."""
    TROUBLES["over_credit"](watch.ledger)
    watch.clock.advance(MINUTE)
    watch.desk.look(routes_of(watch.desk.settings).usable)
    assert receiver.tries == 0

    watch.minutes(1)
    assert receiver.titles == ["[CRITICAL] UCRED over_credit"]


def test_no_canary_is_told(
    ledger: Ledger, clock: FakeClock, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """With an address, a key, a token, markup and control codes in every text, no message has any of them."""
    caplog.set_level(logging.DEBUG)
    for name in sorted(set(TROUBLES) - {"purchase_missing_long", "retry_queue_long", "mint_success_low"}):
        TROUBLES[name](ledger)
    troubles.bad_purchases(ledger, 20, Verdict.LACKING, "log_shows_none", first=100)
    troubles.run(ledger, Outcome.HELD, hold=f"<b>{troubles.ADDRESS}</b>", name="rotten")
    clock.advance(timedelta(days=1, seconds=1))
    secrets = {"STRIPE_API_KEY": troubles.KEY, "RUST_L1_ADMIN_TOKEN": troubles.TOKEN}
    log = {"UCRED_INDEXER_LOG": f"/var/log/{troubles.ADDRESS}.log"}
    watch = watching(ledger, clock, receiver.url("canary-path"), "canary=nonsense", **secrets, **log)
    with ledger.write() as connection:
        signed = Signed(troubles.ROTTEN, clock.now(), troubles.ROTTEN)
        silence(connection, "purchases_unpaid", clock.now() + 5 * MINUTE, signed)
    said = [watch.minutes(1) for _ in range(7)]
    said.append(watch.away(55 * MINUTE).minutes(4))
    with ledger.write() as connection:
        for found in list(read_alerts(connection).values()):
            acknowledge(connection, found, signed)
        release_holds(connection, signed)
        troubles.mend(connection)
    said.append(watch.minutes(5))

    assert {event.value for event in Event} == outbox_events(ledger)
    assert len(set(receiver.titles)) > 20
    told = receiver.text + "".join(said) + caplog.text
    assert "other" in told
    secret = (troubles.ADDRESS, troubles.KEY, troubles.TOKEN, "canary", "Canary", "script", "127.0.0.1")
    for canary in (*secret, "@", "acct:", "pi_", "<", "\\u001b", "\\u202e"):
        assert canary not in told
    assert all(sign.isprintable() or sign == "\n" for one in receiver.taken for sign in str(one["message"]))


def outbox_events(ledger: Ledger) -> set[str]:
    """The kinds of messages that there were."""
    with ledger.read() as connection:
        return set(connection.execute(select(outbox.c.event)).scalars())


def test_the_outbox_keeps_no_address_of_a_route(watch: Watch) -> None:
    """A route is kept as a hash; its address, which holds a secret, is nowhere in the ledger."""
    TROUBLES["over_credit"](watch.ledger)
    watch.minutes(2)

    file = watch.ledger.file
    assert file is not None
    kept = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"over_credit" in kept
    assert b"a-secret-path" not in kept


def test_one_pagerduty_incident_an_alert(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """PagerDuty is given the alert's id, so that a reminder is no new incident, and the end resolves it."""
    with Receiver(status=202) as pager:
        address = pager.url("v2/enqueue").replace("json://", "http://")
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", address)
        watch = watch.routed("pagerduty://integrationkey@apikey")
        TROUBLES["indexer_forgot"](watch.ledger)
        watch.minutes(1)
        watch.away(59 * MINUTE).minutes(2)
        with watch.ledger.write() as connection:
            release_holds(connection, Signed("Ida", watch.clock.now(), "restored"))
        watch.minutes(3)

    (key,) = {one["dedup_key"] for one in pager.taken}
    assert key.startswith("alr_")
    assert [one["event_action"] for one in pager.taken] == ["trigger", "trigger", "resolve"]


def test_a_trial(receiver: Receiver) -> None:
    """A test goes to the routes that take its severity, and says what became of it."""
    with Receiver(status=500) as broken:
        routes = read_routes(f"info={receiver.url()} {broken.url()} critical={receiver.url('other')}").usable

        assert [send_trial(route, Severity.INFO, 5) for route in routes] == [
            Trial.SENT,
            Trial.FAILED,
            Trial.NOT_ASKED,
        ]
    assert receiver.titles == ["[TEST, INFO] UCRED alerts"]


@pytest.mark.parametrize(
    "entry, told",
    [
        ("nonsense", "cannot be read"),
        ("https://hooks.example/secret", "cannot be read"),
        ("critical=unheard-of://secret", "cannot be read"),
        ("include", "cannot be read"),
        ("critical=warning", "cannot be read"),
        ("slack://secret", "cannot be read"),
        ("criticl=json://host/secret", "has a tag that is none of critical, warning, info"),
        ("info=json://same.example/secret", "is the same as entry 1"),
    ],
)
def test_what_is_no_route_is_named_by_its_place(entry: str, told: str) -> None:
    """The problem names the place of the entry, and never the address; the others can be used."""
    found = read_routes(f"json://same.example/secret {entry}")

    assert [route.place for route in found.usable] == [1]
    (problem,) = found.problems
    assert problem.startswith("entry 2 of UCRED_ALERT_URLS ")
    assert told in problem
    assert "secret" not in problem + repr(found)


def test_a_route_stays_the_same_with_other_tags() -> None:
    """What waits for a route is not lost when it takes other severities."""
    (one,) = read_routes("json://host/x?a=b").usable
    (other,) = read_routes("critical,warning=json://host/x?a=b").usable

    assert one.key == other.key
    assert other.severities == {Severity.CRITICAL, Severity.WARNING}


def let_go(watch: Watch) -> None:
    """End the hold of a person, and look until that is told."""
    with watch.ledger.write() as connection:
        release_holds(connection, Signed("Ida", watch.clock.now(), "well again"))
    watch.minutes(4)


HELD = "[WARNING] UCRED held_by_person"
LET_GO = "[RESOLVED] UCRED held_by_person"


def test_a_route_that_takes_more_is_told_of_what_fires(watch: Watch, receiver: Receiver) -> None:
    """Whoever is to be told of warnings from now on is told of those that fire, and of their end."""
    with Receiver() as other:
        narrow = watch.routed(f"critical={receiver.url()}", other.url())
        TROUBLES["held_by_person"](watch.ledger)
        narrow.minutes(3)
        assert receiver.titles == []

        wide = watch.routed(receiver.url(), other.url())
        wide.minutes(3)
        assert receiver.titles == other.titles == [HELD]

        let_go(wide)
        assert receiver.titles == other.titles == [HELD, LET_GO]


def test_the_end_goes_to_whoever_was_told_of_the_beginning(watch: Watch, receiver: Receiver) -> None:
    """A route that takes less by now, or is missing at the time, leaves no incident open for ever."""
    with Receiver() as missing:
        both = watch.routed(receiver.url(), missing.url())
        TROUBLES["held_by_person"](watch.ledger)
        both.minutes(3)

        let_go(watch.routed(f"critical={receiver.url()}"))
        assert receiver.titles == [HELD, LET_GO]
        assert missing.titles == [HELD]

        both.minutes(1)
        assert missing.titles == [HELD, LET_GO]


def acknowledge_the_hold(watch: Watch, reason: str) -> None:
    """Let somebody acknowledge the alert of a hold."""
    with watch.ledger.write() as connection:
        (found,) = find_alerts(connection, "held_by_person")
        acknowledge(connection, found, Signed("Ida", watch.clock.now(), reason))


def test_a_route_that_was_not_told_hears_of_no_end(watch: Watch, receiver: Receiver) -> None:
    """One that is added while an alert is acknowledged hears neither of its beginning nor of its end."""
    TROUBLES["held_by_person"](watch.ledger)
    watch.minutes(3)
    acknowledge_the_hold(watch, "on purpose")
    with Receiver() as new:
        both = watch.routed(receiver.url(), new.url())
        both.minutes(3)
        let_go(both)

        assert new.titles == []
        assert receiver.titles == [HELD, LET_GO]


def test_a_route_that_returns_is_told_of_what_fires(watch: Watch, receiver: Receiver) -> None:
    """What began while an address was missing is told once it is back; a clock set back adds none."""
    with Receiver() as other:
        both = watch.routed(receiver.url(), other.url())
        both.minutes(1)
        TROUBLES["held_by_person"](watch.ledger)
        watch.minutes(3)
        watch.clock.advance(-2 * HOUR)

        both.minutes(5)
        assert other.titles == receiver.titles == [HELD]

        both.minutes(2 * 60)
        assert other.titles == receiver.titles == [HELD]


def test_a_route_that_is_added_in_a_silence_is_told_after_it(watch: Watch, receiver: Receiver) -> None:
    """When the silence ends, what still fires is told to those who do not know of it yet."""
    TROUBLES["held_by_person"](watch.ledger)
    watch.minutes(3)
    with watch.ledger.write() as connection:
        silence(connection, "all", watch.clock.now() + HOUR / 2, Signed("Ida", watch.clock.now(), "night"))
    with Receiver() as new:
        both = watch.routed(receiver.url(), new.url())
        both.minutes(20)
        assert new.titles == []

        both.minutes(20)
        assert new.titles == receiver.titles == [HELD]


def test_the_end_of_what_was_told_long_ago(watch: Watch, receiver: Receiver) -> None:
    """The outbox forgets after a month whom it told: the end of an older alert goes to all that take it."""
    TROUBLES["held_by_person"](watch.ledger)
    watch.minutes(2)
    acknowledge_the_hold(watch, "for long")
    watch.away(40 * troubles.DAY).minutes(2)
    assert "reconciliation_stale" not in watch.firing()

    let_go(watch)

    assert receiver.titles == [HELD, LET_GO]
