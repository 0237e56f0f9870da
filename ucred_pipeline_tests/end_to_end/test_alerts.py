"""`ucred alerts`, as a person uses it, on a reconciled world that Dagster's sensor watches."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

import dagster as dg
import pytest

from ucred_pipeline.domain.alert_states import Alert
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.ledger.alerts import save_alerts
from ucred_pipeline.orchestration.alerting import alerts_sensor
from ucred_pipeline.reporting.alerts import Desk
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.conftest import pipeline_of
from ucred_pipeline_tests.reporting.receiver import Receiver

MINUTE = timedelta(minutes=1)
SIGNED = ("--reason", "ticket 4711", "--by", "Ida")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A service that takes messages."""
    with Receiver() as running:
        yield running


@pytest.fixture
def world(rehearse: Rehearse, receiver: Receiver) -> Rehearsal:
    """A world with every case, a route, and one run."""
    world = rehearse("[alerts]\nreminder_critical_s = 300\n", purchases=60)
    world.variables["UCRED_ALERT_URLS"] = receiver.url()
    world.reconcile()
    return world


def tick(world: Rehearsal, minutes: int = 1) -> str:
    """Let Dagster's sensor tick, a minute after the last time; give what it says."""
    said = ""
    for _ in range(minutes):
        world.later(MINUTE)
        with pipeline_of(world) as pipeline:
            desk = Desk(pipeline.settings, pipeline.ledger, pipeline.clock)
            with dg.build_sensor_context(resources={"alert_desk": desk}) as context:
                result = alerts_sensor(context)
        assert isinstance(result, dg.SkipReason)
        said = result.skip_message or ""
    return said


def state_of(world: Rehearsal, name: str) -> str:
    """The state of the one alert of a name, as the list has it."""
    (found,) = (one for one in world.ucred("alerts", "--json").document["alerts"] if one["name"] == name)
    return str(found["state"])


def test_a_world_is_watched(world: Rehearsal, receiver: Receiver) -> None:
    """The sensor tells what a run left open, once, and no message names a customer or holds a secret."""
    said = tick(world, 3)

    document = world.ucred("alerts", "--json").document
    names = {one["name"] for one in document["alerts"]}
    assert {"over_credit", "plan_withheld", "purchases_unissued", "purchases_ambiguous"} <= names
    assert said.startswith(f"{len(document['alerts'])} alerts fire")
    assert len(receiver.titles) == len(document["alerts"])
    assert world.secrets_in(receiver.text + said + json.dumps(document)) == []
    assert "@" not in receiver.text
    for purchase in world.sandbox.truth.purchases.values():
        assert purchase.payment_intent not in receiver.text
        assert not purchase.namespace or f" {purchase.namespace} " not in receiver.text


def test_the_list_is_for_people_as_well(world: Rehearsal) -> None:
    """The table names what fires, the routes, and when somebody looked; `list` is the same."""
    before = world.ucred("alerts")
    assert (before.code, "Nobody has looked yet" in before.out) == (0, True)
    tick(world, 3)

    said = world.ucred("alerts")

    assert (said.code, said.err) == (0, "")
    assert "over_credit" in said.out
    assert "1. JSON" in said.out
    assert "a-secret-path" not in said.out
    assert world.ucred("alerts", "list").out == said.out
    documents = [world.ucred("alerts", *words).document for words in (("list", "--json"), ("--json", "list"))]
    assert documents == [world.ucred("alerts", "--json").document] * 2


def test_an_alert_is_acknowledged(world: Rehearsal, receiver: Receiver) -> None:
    """An acknowledgement, by name or by id, ends the reminders, and the history keeps who and why."""
    tick(world, 7)
    assert receiver.titles[-1] == "[CRITICAL, STILL] UCRED over_credit"
    document = world.ucred("alerts", "--json").document
    (found,) = (one["id"] for one in document["alerts"] if one["name"] == "over_credit")
    count = len(receiver.titles)

    said = world.ucred("alerts", "ack", found[:12], *SIGNED)

    assert (said.code, said.err, found in said.out) == (0, "", True)
    assert state_of(world, "over_credit") == "acknowledged"
    assert world.ucred("alerts", "ack", "purchases_unissued", "--by", "Ida").code == 0
    tick(world, 7)
    assert [title for title in receiver.titles[count:] if "over_credit" in title] == []
    (entry,) = (one for one in world.told() if one.subject == f"alert:{found}")
    assert (entry.actor, entry.detail["reason"]) == ("Ida", "ticket 4711")
    assert world.ucred("verify").code == 0


def test_the_beginning_of_two_ids_acknowledges_neither(world: Rehearsal) -> None:
    """Alerts of one name, of two breaks: only the name stands for all of them."""
    now = world.clock.now()
    two = {
        key: Alert(key, "over_credit", {}, Severity.CRITICAL, "", fired=now) for key in ("alr_zz1", "alr_zz2")
    }
    with world.ledger() as ledger, ledger.write() as connection:
        save_alerts(connection, {}, two)

    said = world.ucred("alerts", "ack", "alr_zz", *SIGNED)

    assert (said.code, "more than one alert begins with alr_zz" in said.err) == (2, True)
    assert world.ucred("alerts", "ack", "alr_zz2", *SIGNED).code == 0
    assert world.ucred("alerts", "ack", "over_credit", *SIGNED).code == 0


def test_an_alert_is_silenced(world: Rehearsal, receiver: Receiver) -> None:
    """A silence keeps an alert back until its end, and then it is told."""
    said = world.ucred("alerts", "silence", "over_credit", "--for", "5m", *SIGNED)
    assert (said.code, "UTC" in said.out) == (0, True)
    tick(world, 3)
    assert state_of(world, "over_credit") == "silenced"
    assert "ticket 4711" in world.ucred("alerts").out
    assert "[CRITICAL] UCRED over_credit" not in receiver.titles

    tick(world, 3)
    assert "[CRITICAL] UCRED over_credit" in receiver.titles


def test_one_alert_is_silenced_by_the_beginning_of_its_id(world: Rehearsal) -> None:
    """As an acknowledgement does, a silence takes as much of an id as names one alert."""
    tick(world, 3)
    firing = world.ucred("alerts", "--json").document["alerts"]
    chosen = next(one for one in firing if one["name"] == "over_credit")

    assert world.ucred("alerts", "silence", chosen["id"][:12], "--for", "1h", *SIGNED).code == 0

    states = {one["id"]: one["state"] for one in world.ucred("alerts", "--json").document["alerts"]}
    assert [name for name, state in states.items() if state == "silenced"] == [chosen["id"]]


MISTAKES: Final[Mapping[tuple[str, ...], str]] = {
    ("ack", "alr_0000000000000000", "--by", "Ida"): "no alert alr_0000000000000000 fires",
    ("ack", "alr_", "--by", "Ida"): "more than one alert begins with alr_",
    ("ack", "over_credit"): "--by",
    ("ack", "over_credit", "--by", " "): "must say something",
    ("silence", "over_credit", *SIGNED): "--for",
    ("silence", "over_credit", "--for", "8d", *SIGNED): "longer than 7 days",
    ("silence", "over_credit", "--for", "0h", *SIGNED): "is not a time",
    ("silence", "over_credit", "--for", "2 weeks", *SIGNED): "is not a time",
    ("silence", "mint_sucess", "--for", "2h", *SIGNED): "there is no alert mint_sucess",
    ("silence", "alr_", "--for", "2h", *SIGNED): "more than one alert begins with alr_",
    ("silence", "alr_x", "--for", "2h", *SIGNED): "there is no alert alr_x",
    ("test", "--severity", "grave"): "--severity",
    ("resolve", "x"): "resolve",
}


def test_what_cannot_be_asked_for(world: Rehearsal) -> None:
    """A wrong word ends with 2 and one line that says what is right; nothing is kept."""
    tick(world, 2)

    said = {arguments: world.ucred("alerts", *arguments) for arguments in MISTAKES}

    assert {one.code for one in said.values()} == {2}
    assert {len(one.err.splitlines()) for one in said.values()} == {1}
    assert [told for arguments, told in MISTAKES.items() if told not in said[arguments].err] == []
    document = world.ucred("alerts", "--json").document
    assert document["silences"] == []
    assert {one["state"] for one in document["alerts"]} == {"firing"}


def test_a_test_is_sent(world: Rehearsal, receiver: Receiver) -> None:
    """Each route says whether the test went; one that failed, or none at all, is no success."""
    good = world.ucred("alerts", "test", "--severity", "critical")
    assert (good.code, good.err) == (0, "")
    assert "1. JSON" in good.out
    assert ": sent" in good.out
    assert receiver.titles == ["[TEST, CRITICAL] UCRED alerts"]

    with Receiver(status=500) as broken:
        world.variables["UCRED_ALERT_URLS"] = f"critical={receiver.url()} {broken.url()}"
        bad = world.ucred("alerts", "test")
        world.variables["UCRED_ALERT_URLS"] = f"critical={receiver.url()}"
        unasked = world.ucred("alerts", "test")
        world.variables["UCRED_ALERT_URLS"] = f"{receiver.url()} nonsense-secret"
        nonsense = world.ucred("alerts", "test")
        del world.variables["UCRED_ALERT_URLS"]
        none = world.ucred("alerts", "test")

    assert (bad.code, ": FAILED" in bad.out, ": does not take this severity" in bad.out) == (1, True, True)
    assert (unasked.code, "no route that takes info" in unasked.err) == (2, True)
    assert (nonsense.code, "entry 2 of UCRED_ALERT_URLS" in nonsense.err) == (1, True)
    assert none.code == 2
    assert "secret" not in "".join(one.text for one in (good, bad, unasked, nonsense, none))
    assert len(receiver.titles) == 2


def test_the_real_command(world: Rehearsal) -> None:
    """The command in a process of its own lists and helps, and `--help` tells of every word."""
    tick(world, 2)

    said = world.process("alerts", "--json")
    helped = world.process("alerts", "--help")

    assert (said.code, said.err) == (0, "")
    assert said.document["alerts"]
    assert all(word in helped.out for word in ("list", "ack", "silence", "test"))
