"""The life of an alert: when it fires, what is sent of it, and when it is over."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ucred_pipeline.domain.alert_states import KEPT, Advanced, Alert, Event, Look, Manners, advance
from ucred_pipeline.domain.alerts import AT_ONCE, FLOOD, Observation, Severity, key_of
from ucred_pipeline_tests.conftest import NOON

MINUTE = timedelta(minutes=1)
MANNERS = Manners(
    {
        Severity.CRITICAL: timedelta(hours=1),
        Severity.WARNING: timedelta(hours=6),
        Severity.INFO: timedelta(hours=24),
    },
    flood_cap=20,
)
NAME = "mint_success_low"


def seen(*, bad: bool | None, told: str = "something", **changes: object) -> Observation:
    """Make an observation of one alert."""
    plain = Observation(NAME, Severity.CRITICAL, bad=bad, told=told)
    return replace(plain, **changes)  # type: ignore[arg-type]


@dataclass
class Life:
    """Alerts that are looked at every minute, and what was sent of them."""

    alerts: Mapping[str, Alert] = field(default_factory=dict)
    now: datetime = NOON
    silenced: bool = False
    manners: Manners = MANNERS
    sent: list[tuple[Event, str]] = field(default_factory=list)

    def look(self, *observations: Observation, covered: Sequence[str] = (NAME,)) -> list[Event]:
        """Let a minute pass, and look; give the events that are sent."""
        self.now += MINUTE
        look = Look(observations, frozenset(covered))
        found: Advanced = advance(self.alerts, look, lambda _: self.silenced, self.manners, self.now)
        self.alerts = found.alerts
        self.sent += [(notice.event, notice.alert.key) for notice in found.notices]
        return [notice.event for notice in found.notices]

    def of(self, *bad: bool | None) -> list[list[Event]]:
        """Look several times at the one alert."""
        return [self.look(seen(bad=one)) for one in bad]

    @property
    def alert(self) -> Alert:
        """The one alert."""
        (found,) = self.alerts.values()
        return found

    def acknowledge(self) -> None:
        """Let a person acknowledge the one alert."""
        acknowledged = replace(self.alert, acknowledged=self.now, acknowledged_by="Ida")
        self.alerts = {acknowledged.key: acknowledged}


@pytest.fixture
def life() -> Life:
    """Alerts of which there is none yet."""
    return Life()


def test_it_fires_after_two_bad_and_resolves_after_three_good(life: Life) -> None:
    """One bad look is nothing; two in a row fire once; three good in a row resolve once."""
    assert life.of(True, False, True, True, True, False, False, True, False, False, False, False) == [
        [], [], [], [Event.FIRING], [], [], [], [], [], [], [Event.RESOLVED], []
    ]  # fmt: skip


def test_what_is_grave_fires_at_once(life: Life) -> None:
    """An alert that is never a blip is told at the first look."""
    assert life.look(seen(bad=True, fire_after=AT_ONCE)) == [Event.FIRING]


def test_no_data_neither_fires_nor_resolves(life: Life) -> None:
    """What is not known leaves an alert as it is, also where its measure is not covered at all."""
    assert life.of(None, None, True, None, True) == [[], [], [], [], [Event.FIRING]]
    assert life.of(None, None, None, None) == [[], [], [], []]
    for _ in range(5):
        assert life.look(covered=()) == []

    assert life.alert.is_firing


def test_what_is_gone_is_good(life: Life) -> None:
    """An alert of a break that is not there any more, where there was a look, resolves."""
    of_break = seen(bad=True, labels={"break": "brk_000000000001"})
    life.look(of_break)
    life.look(of_break)

    assert [life.look() for _ in range(3)] == [[], [], [Event.RESOLVED]]


@pytest.mark.parametrize("severity", Severity)
def test_it_reminds(life: Life, severity: Severity) -> None:
    """A firing alert reminds as often as its severity asks for."""
    every = MANNERS.reminders[severity] // MINUTE

    sent = [life.look(seen(bad=True, severity=severity)) for _ in range(2 + 2 * every)]

    assert [index for index, events in enumerate(sent) if events] == [1, 1 + every, 1 + 2 * every]
    assert sent[1 + every] == [Event.REMINDER]


def test_an_acknowledged_alert_reminds_no_more_until_it_resolves(life: Life) -> None:
    """An acknowledgement ends the reminders, not the word of its end; the next time it reminds again."""
    life.of(True, True)
    life.acknowledge()

    assert not any(life.look(seen(bad=True)) for _ in range(180))
    assert life.of(False, False, False)[-1] == [Event.RESOLVED]
    life.of(True, True)
    assert life.alert.acknowledged is None
    assert any(life.look(seen(bad=True)) == [Event.REMINDER] for _ in range(60))


def test_nothing_is_sent_of_what_is_silenced(life: Life) -> None:
    """While a silence lasts the state goes on; at its end what still fires is told."""
    life.silenced = True
    assert life.of(True, True, True) == [[], [], []]
    assert life.alert.is_firing
    life.silenced = False

    assert life.of(True) == [[Event.FIRING]]


def test_what_began_and_ended_in_a_silence_is_never_told(life: Life) -> None:
    """There is no word of the end of an alert of which nobody was told."""
    life.silenced = True
    life.of(True, True, False, False, False)
    life.silenced = False

    assert life.of(False, False) == [[], []]


def test_an_end_in_a_silence_is_told_after_it(life: Life) -> None:
    """Whoever was told that it fires is told that it ended, once the silence is over."""
    life.of(True, True)
    life.silenced = True
    assert life.of(False, False, False, False) == [[], [], [], []]
    life.silenced = False

    assert life.of(False, False) == [[Event.RESOLVED], []]


def test_what_fires_anew_in_a_silence_is_told_after_it(life: Life) -> None:
    """It is told as what it is: neither at its next reminder, nor as what fires still."""
    life.of(True, True)
    life.silenced = True
    assert not any(life.of(True, False, False, False, True, True))
    life.silenced = False

    assert life.of(True, True) == [[Event.FIRING], []]
    assert life.of(False, False, False, False) == [[], [], [Event.RESOLVED], []]


def test_what_fires_anew_in_a_silence_and_ends_in_it_is_told_to_have_ended(life: Life) -> None:
    """Whoever was told that it fired the first time is told of the last end."""
    life.of(True, True)
    life.silenced = True
    life.of(False, False, False, True, True, False, False, False)
    life.silenced = False

    assert life.of(False, False) == [[Event.RESOLVED], []]


def test_what_fires_anew_and_is_withheld_ends(life: Life) -> None:
    """One that a flood keeps back when it fires anew is not told again, and its first firing has an end."""
    (first,) = life.look(*crowd(1), covered=COVERED)
    life.silenced = True
    for _ in range(3):
        life.look(covered=COVERED)
    life.now += timedelta(hours=2)
    life.look(*crowd(1), covered=COVERED)
    life.silenced = False
    key = crowd(1)[0].key

    life.look(*crowd(30), covered=COVERED)
    assert (first, life.alerts[key].withheld) == (Event.FIRING, True)
    for _ in range(120):
        life.look(*crowd(30), covered=COVERED)
    assert [event for event, of in life.sent if of == key] == [Event.FIRING]
    for _ in range(3):
        life.look(covered=COVERED)
    assert [event for event, of in life.sent if of == key] == [Event.FIRING, Event.RESOLVED]


@given(steps=st.lists(st.integers(-30 * 24 * 60, 30 * 24 * 60), max_size=6))
def test_a_clock_that_steps_costs_no_reminder(steps: list[int]) -> None:
    """Wherever a clock has been, once it is steady a reminder comes within the time that it may take."""
    life = Life()
    life.of(True, True)
    for step in steps:
        life.now += step * MINUTE
        life.of(True)

    assert [events for events in life.of(*[True] * 60) if events] == [[Event.REMINDER]]


def test_what_a_clock_announced_that_was_ahead_is_no_flood(life: Life) -> None:
    """Alerts that were told while the clock was ahead, and are over, do not keep later ones back."""
    life.now += KEPT
    life.look(*crowd(20), covered=COVERED)
    for _ in range(3):
        life.look(covered=COVERED)
    life.now -= KEPT

    (later,) = crowd(1, first=5000)
    life.look(later, covered=COVERED)
    assert life.sent[-1] == (Event.FIRING, later.key)


def test_an_alert_is_forgotten_long_after_its_end(life: Life) -> None:
    """What never fired is not kept, and what ended is kept for a month."""
    life.of(True, False)
    assert life.alerts == {}
    life.of(True, True, False, False, False)
    life.now += KEPT - MINUTE
    life.of(False)
    assert len(life.alerts) == 1

    life.now += 2 * MINUTE
    life.of(False)
    assert life.alerts == {}


def crowd(count: int, first: int = 0, *, bad: bool = True) -> list[Observation]:
    """Make observations of so many over-credits."""
    return [
        Observation(
            "over_credit",
            Severity.CRITICAL,
            bad=bad,
            told="too much",
            labels={"break": f"brk_{number:012x}"},
            fire_after=AT_ONCE,
        )
        for number in range(first, first + count)
    ]


COVERED = (NAME, "over_credit")


def test_a_thousand_at_once_do_not_flood(life: Life) -> None:
    """A thousand alerts are one message, which counts them; what is alone of its kind is told beside it."""
    life.look(seen(bad=True), *crowd(1000), covered=COVERED)
    life.look(seen(bad=True), *crowd(1000), covered=COVERED)

    assert sorted(life.sent) == sorted([(Event.FIRING, key_of(FLOOD, {})), (Event.FIRING, key_of(NAME, {}))])
    flood = life.alerts[key_of(FLOOD, {})]
    assert (flood.severity, "1,000 over_credit" in flood.told) == (Severity.CRITICAL, True)
    assert sum(one.withheld for one in life.alerts.values()) == 1000


def test_a_flood_ends(life: Life) -> None:
    """Once nothing that was withheld fires any more, one message says so, and the next is sent singly."""
    life.look(*crowd(1000), covered=COVERED)
    for _ in range(8):
        life.look(covered=COVERED)
    assert life.sent == [(Event.FIRING, key_of(FLOOD, {})), (Event.RESOLVED, key_of(FLOOD, {}))]

    assert life.look(*crowd(1, first=5000), covered=COVERED) == [Event.FIRING]


def test_a_flood_that_trickles(life: Life) -> None:
    """Alerts that begin one a minute are no less a flood: within an hour no more than the cap are sent."""
    for count in range(1, 56):
        life.look(*crowd(count), covered=COVERED)

    starts = [key for event, key in life.sent if event is Event.FIRING]
    assert len(starts) == MANNERS.flood_cap + 1


def test_a_flood_of_reminders(life: Life) -> None:
    """However long a trickle lasts, no more than the cap go on reminding; what is acknowledged makes room."""
    for count in range(0, 100, 4):
        life.now += 19 * MINUTE
        life.look(*crowd(count), covered=COVERED)
    before = len(life.sent)
    for _ in range(60):
        life.look(*crowd(96), covered=COVERED)
    assert len(life.sent) - before == MANNERS.flood_cap + 1

    life.alerts = {
        key: replace(one, acknowledged=life.now, acknowledged_by="Ida") if one.is_announced else one
        for key, one in life.alerts.items()
    }
    assert life.look(*crowd(97), covered=COVERED) == [Event.FIRING]


def test_more_withheld_alerts_end_the_acknowledgement_of_a_flood(life: Life) -> None:
    """What is added to a flood is not hidden behind somebody's word about the flood as it was."""
    life.look(*crowd(30), covered=COVERED)
    key = key_of(FLOOD, {})
    life.alerts = {**life.alerts, key: replace(life.alerts[key], acknowledged=NOON, acknowledged_by="Ida")}

    life.look(*crowd(60), covered=COVERED)

    assert life.alerts[key].acknowledged is None


def test_the_key_is_of_the_name_and_the_labels_alone(life: Life) -> None:
    """However the values change, it is the same alert; another label is another alert."""
    life.look(seen(bad=True, told="17 of 20"))
    life.look(seen(bad=True, told="16 of 20"))

    assert (len(life.alerts), life.alert.told) == (1, "16 of 20")
    assert key_of("x", {"a": "1", "b": "2"}) == key_of("x", {"b": "2", "a": "1"})
    assert len({key_of("x", {}), key_of("y", {}), key_of("x", {"a": "1"}), key_of("x", {"a": "2"})}) == 4


@given(st.lists(st.sampled_from([True, False, None]), max_size=60))
def test_an_alert_follows_a_plain_count(looks: list[bool | None]) -> None:
    """It fires and resolves as one that only counts the looks that know something."""
    life, firing, row = Life(), False, list[bool]()
    for one in looks:
        events = life.of(one)[0]
        row += [] if one is None else [one]
        expected = list[Event]()
        if not firing and row[-2:] == [True, True] and one:
            firing, expected = True, [Event.FIRING]
        elif firing and row[-3:] == [False, False, False] and one is False:
            firing, expected = False, [Event.RESOLVED]

        assert [event for event in events if event is not Event.REMINDER] == expected


class AnyLife(RuleBasedStateMachine):
    """Alerts that are looked at, acknowledged and silenced in any order, and what is sent of them.

    The clock steps as well. `told` has which time that an alert began to fire somebody was told of last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(manners=replace(MANNERS, flood_cap=3))
        self.begun = Counter[str]()
        self.told: dict[str, int] = {}

    @rule(
        bad=st.lists(st.booleans(), min_size=8, max_size=8),
        single=st.sampled_from([True, False, None]),
        minutes=st.integers(-90, 90),
        silenced=st.booleans(),
    )
    def look(self, *, bad: list[bool], single: bool | None, minutes: int, silenced: bool) -> None:
        """Look at eight breaks and one measure, after a while."""
        self.life.now += minutes * MINUTE
        self.life.silenced = silenced
        before, alerts = len(self.life.sent), self.life.alerts
        many = [one for one, is_bad in zip(crowd(8), bad, strict=True) if is_bad]
        self.life.look(seen(bad=single), *many, covered=COVERED)
        firing = {key for key, one in alerts.items() if one.is_firing}
        self.begun.update(key for key, one in self.life.alerts.items() if one.is_firing and key not in firing)
        for event, key in self.life.sent[before:]:
            assert not silenced
            match event:
                case Event.FIRING:
                    assert self.told.get(key) != self.begun[key]
                    self.told[key] = self.begun[key]
                case Event.REMINDER:
                    assert self.told[key] == self.begun[key]
                case Event.RESOLVED:
                    del self.told[key]

    @rule()
    def acknowledge(self) -> None:
        """Acknowledge all that fires."""
        self.life.alerts = {
            key: replace(one, acknowledged=self.life.now, acknowledged_by="Ida") if one.is_firing else one
            for key, one in self.life.alerts.items()
        }

    @invariant()
    def what_fires_is_known_to_somebody(self) -> None:
        """What fires was told, or is counted by the flood, or is silenced; what was told is kept."""
        told = {key for key, one in self.life.alerts.items() if one.is_announced}
        assert told == self.told.keys()
        if not self.life.silenced:
            flood = self.life.alerts.get(key_of(FLOOD, {}))
            for key, one in self.life.alerts.items():
                counted = one.withheld and flood is not None and flood.is_firing
                assert not one.is_firing or self.told.get(key) == self.begun[key] or counted


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=50, stateful_step_count=40)
