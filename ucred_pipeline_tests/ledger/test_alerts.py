"""Alerts, silences and the outbox in the ledger: nothing is lost, nothing is claimed twice."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from ucred_pipeline.domain.alert_states import KEPT, Alert, Event
from ucred_pipeline.domain.alerts import Severity, key_of
from ucred_pipeline.ledger.alerts import (
    Claimed,
    Message,
    acknowledge,
    backlogs,
    claim_next,
    find_alerts,
    forget_messages,
    mark_delivered,
    may_look,
    post,
    put_back,
    read_alerts,
    save_alerts,
    silence,
    silences_at,
    waiting_since,
)
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.history import told_of
from ucred_pipeline.ledger.safety import Signed
from ucred_pipeline.ledger.verification import verify
from ucred_pipeline_tests.conftest import NOON

MINUTE = timedelta(minutes=1)
LEASE = 2 * MINUTE
ROUTE = "0123456789abcdef"


def alert(name: str = "over_credit", **labels: str) -> Alert:
    """Make an alert that fires."""
    return Alert(
        key=key_of(name, labels),
        name=name,
        labels=labels,
        severity=Severity.CRITICAL,
        told="Too much.",
        bad_in_a_row=1,
        fired=NOON,
        announced=NOON,
        is_announced=True,
        remind_at=NOON + timedelta(hours=1),
    )


def message(key: str = "alr_1", event: Event = Event.FIRING, route: str = ROUTE) -> Message:
    """Make a message of an alert."""
    return Message(key, route, event, Severity.CRITICAL, f"{event} {key}", "a body")


def posted(ledger: Ledger, *messages: Message) -> None:
    """Put messages into the outbox."""
    with ledger.write() as connection:
        post(connection, messages, NOON)


def claim(ledger: Ledger, after: timedelta = timedelta(0), route: str = ROUTE) -> Claimed | None:
    """Claim the next message of a route, some time after noon."""
    with ledger.write() as connection:
        return claim_next(connection, route, NOON + after, LEASE)


def delivered(ledger: Ledger) -> str | None:
    """Deliver the next message; give its title."""
    claimed = claim(ledger)
    if claimed is None:
        return None
    with ledger.write() as connection:
        mark_delivered(connection, claimed, NOON)
    return claimed.message.title


def test_alerts_are_kept_as_they_are(ledger: Ledger) -> None:
    """What is written is read back, changes replace it, and what is over is gone."""
    one, other = alert(), alert("sending_held", kind="breaker")
    with ledger.write() as connection:
        save_alerts(connection, {}, {one.key: one, other.key: other})
        before = read_alerts(connection)
    assert before == {one.key: one, other.key: other}

    changed = replace(one, resolved=NOON + MINUTE, is_announced=False, withheld=True)
    with ledger.write() as connection:
        save_alerts(connection, before, {one.key: changed})
        assert read_alerts(connection) == {one.key: changed}


def test_alerts_are_found_by_name_and_by_the_beginning_of_their_key(ledger: Ledger) -> None:
    """A person names an alert by its name, or by as much of its id as tells it from others."""
    one, other = alert(), alert("sending_held", kind="breaker")
    with ledger.write() as connection:
        save_alerts(connection, {}, {one.key: one, other.key: other})

        assert find_alerts(connection, "sending_held") == [other]
        assert find_alerts(connection, one.key[:10]) == [one]
        assert find_alerts(connection, "100%") == []


def test_an_acknowledgement_says_who_and_why(ledger: Ledger) -> None:
    """The alert has who acknowledged it, and the history has why; the chain is whole."""
    one = alert()
    with ledger.write() as connection:
        save_alerts(connection, {}, {one.key: one})
        acknowledge(connection, one, Signed("Ida", NOON, "looking"))

        found = read_alerts(connection)[one.key]
        assert (found.acknowledged, found.acknowledged_by) == (NOON, "Ida")
        (entry,) = told_of(connection, f"alert:{one.key}")
        assert (entry.actor, entry.event, entry.detail["reason"]) == ("Ida", "acknowledged", "looking")
        assert verify(connection).broken is None


def test_a_silence_ends_and_a_later_one_replaces_it(ledger: Ledger) -> None:
    """A silence is in force until its end; another of the same name takes its place, also a shorter one."""
    signed = Signed("Ida", NOON, "maintenance")
    with ledger.write() as connection:
        silence(connection, "runs_failed", NOON + timedelta(hours=2), signed)
        silence(connection, "all", NOON + timedelta(hours=3), signed)
        assert [one.name for one in silences_at(connection, NOON)] == ["runs_failed", "all"]
        assert [one.name for one in silences_at(connection, NOON + timedelta(hours=2))] == ["all"]

        silence(connection, "runs_failed", NOON + MINUTE, signed)
        (found,) = (one for one in silences_at(connection, NOON) if one.name == "runs_failed")
        assert (found.until, found.actor, found.reason) == (NOON + MINUTE, "Ida", "maintenance")
        assert len(told_of(connection, "silence:runs_failed")) == 2


def test_a_silence_of_a_clock_that_was_ahead_ends_with_it(ledger: Ledger) -> None:
    """Once the clock is right it is over, and does not begin anew when the clock has caught up."""
    ahead = NOON + timedelta(days=20)
    with ledger.write() as connection:
        silence(connection, "all", ahead + timedelta(hours=2), Signed("Ida", ahead, "maintenance"))
        assert [one.name for one in silences_at(connection, ahead)] == ["all"]
        assert silences_at(connection, NOON) == []

        forget_messages(connection, NOON)
        assert silences_at(connection, ahead) == []


def test_a_silence_outlasts_a_small_step_of_the_clock(ledger: Ledger) -> None:
    """One that a clock began which is ahead by little, as that of another machine, is in force soon."""
    with ledger.write() as connection:
        silence(connection, "all", NOON + timedelta(hours=2), Signed("Ida", NOON + MINUTE, "maintenance"))
        forget_messages(connection, NOON)

        assert [one.name for one in silences_at(connection, NOON + MINUTE)] == ["all"]


def test_messages_leave_in_order_and_once(ledger: Ledger) -> None:
    """What is posted is delivered once, oldest first, and only to its route."""
    posted(ledger, message("alr_1"), message("alr_2"), message("alr_1", Event.RESOLVED))

    assert claim(ledger, route="another") is None
    assert [delivered(ledger) for _ in range(4)] == ["firing alr_1", "firing alr_2", "resolved alr_1", None]


def test_an_end_does_not_overtake_its_beginning(ledger: Ledger) -> None:
    """While the word of an alert's firing waits, the one of its end does, and other alerts go on."""
    posted(ledger, message("alr_1"), message("alr_1", Event.RESOLVED), message("alr_2"))
    first = claim(ledger)
    assert first is not None
    with ledger.write() as connection:
        put_back(connection, first, NOON + 5 * MINUTE)

    assert delivered(ledger) == "firing alr_2"
    assert delivered(ledger) is None
    again = claim(ledger, 5 * MINUTE)
    assert again is not None
    assert (again.message.title, again.attempts) == ("firing alr_1", 1)


def test_what_a_dead_process_claimed_is_claimed_again(ledger: Ledger) -> None:
    """A claim runs out, so that no message is lost with the process that held it."""
    posted(ledger, message())
    assert claim(ledger) is not None

    assert claim(ledger) is None
    assert claim(ledger, LEASE) is not None


@pytest.mark.parametrize("ahead", [MINUTE, timedelta(days=20)])
def test_what_a_clock_wrote_that_was_ahead_is_sent(ledger: Ledger, ahead: timedelta) -> None:
    """A message that nobody has tried to send waits for no clock."""
    posted(ledger, message())

    assert claim(ledger, -ahead) is not None


def test_what_a_clock_put_back_that_was_ahead_is_sent(ledger: Ledger) -> None:
    """A wait that lies further ahead than any is over; one of the usual length is not."""
    posted(ledger, message())
    for due, taken in ((NOON + 5 * MINUTE, False), (NOON + timedelta(days=20), True)):
        claimed = claim(ledger, timedelta(hours=1))
        assert claimed is not None
        with ledger.write() as connection:
            put_back(connection, claimed, due)

        assert (claim(ledger) is not None) is taken
        with ledger.write() as connection:
            put_back(connection, claimed, NOON)


@pytest.mark.parametrize("ahead, taken", [(timedelta(seconds=1), False), (timedelta(days=20), True)])
def test_what_a_clock_claimed_that_was_ahead_is_claimed_again(
    ledger: Ledger, ahead: timedelta, *, taken: bool
) -> None:
    """A claim of a daemon whose clock is ahead by little holds; one by far binds nobody."""
    posted(ledger, message())
    assert claim(ledger, ahead) is not None

    assert (claim(ledger) is not None) is taken


def test_two_daemons_claim_nothing_twice(ledger: Ledger) -> None:
    """However many claim at once, each message is claimed by one."""
    posted(ledger, *(message(f"alr_{number}") for number in range(20)))

    with ThreadPoolExecutor(4) as pool:
        found = [one.id for one in pool.map(lambda _: claim(ledger), range(24)) if one]

    assert (len(found), len(set(found))) == (20, 20)


def test_a_reminder_is_not_added_to_what_waits(ledger: Ledger) -> None:
    """Where a route was not told yet, a reminder says nothing more; where it was, it does."""
    posted(ledger, message(), message(route="other"))
    delivered(ledger)

    posted(ledger, message(event=Event.REMINDER), message(event=Event.REMINDER, route="other"))

    with ledger.read() as connection:
        found = backlogs(connection)
        assert {route: backlog.waiting for route, backlog in found.items()} == {ROUTE: 1, "other": 1}
        assert waiting_since(connection) == {ROUTE: NOON, "other": NOON}
        assert (found[ROUTE].last_delivered, found["other"].last_delivered) == (NOON, None)


def test_two_looks_at_once_are_one(ledger: Ledger) -> None:
    """A second look within the least time does not count, also where the clock has stepped back a little."""
    with ledger.write() as connection:
        assert may_look(connection, NOON, MINUTE)
        assert not may_look(connection, NOON + MINUTE / 2, MINUTE)
        assert not may_look(connection, NOON - MINUTE / 2, MINUTE)
        assert may_look(connection, NOON + MINUTE, MINUTE)
        assert may_look(connection, NOON - timedelta(days=1), MINUTE)


@pytest.mark.parametrize("age, left", [(KEPT, 1), (KEPT + MINUTE, 0)])
def test_messages_are_forgotten_after_a_month(ledger: Ledger, age: timedelta, left: int) -> None:
    """What waited for a month is of no use to anybody."""
    posted(ledger, message())

    with ledger.write() as connection:
        forget_messages(connection, NOON + age)
        assert sum(one.waiting for one in backlogs(connection).values()) == left
