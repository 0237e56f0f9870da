"""Each fault of the indexer does what it says, with or without the effect."""

import time
from datetime import timedelta

import httpx
import pytest

from ucred_pipeline.sandbox import Sandbox, UnknownFault
from ucred_pipeline_tests.sandbox.conftest import MovableClock
from ucred_pipeline_tests.sandbox.test_indexer import GENESIS_ROOT, credit, root

DROPPED = (httpx.RemoteProtocolError, httpx.ReadError)


def credited(sandbox: Sandbox) -> int:
    """How many credits over HTTP took effect."""
    return len(sandbox.http_credits)


@pytest.mark.parametrize(
    "fault, effects", [("indexer-drop-before", 0), ("indexer-drop-after", 1), ("indexer-truncated", 1)]
)
def test_lost_answers(sandbox: Sandbox, indexer: httpx.Client, fault: str, effects: int) -> None:
    """A connection that drops says nothing about the effect."""
    sandbox.faults.set(fault, times=1)

    with pytest.raises(DROPPED):
        credit(indexer)

    assert credited(sandbox) == effects
    assert credit(indexer).status_code == 200


@pytest.mark.parametrize(
    "fault, status, effects",
    [
        ("indexer-error-before", 502, 0),
        ("indexer-error-after", 502, 1),
        ("indexer-foreign", 200, 0),
        ("indexer-foreign-after", 200, 1),
    ],
)
def test_foreign_answers(
    sandbox: Sandbox, indexer: httpx.Client, fault: str, status: int, effects: int
) -> None:
    """A proxy's page says nothing about the effect either."""
    sandbox.faults.set(fault)

    answer = credit(indexer)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert credited(sandbox) == effects


def test_a_slow_answer_comes_after_the_effect(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """The effect is there while the client still waits."""
    sandbox.faults.set("indexer-slow-answer", 30)

    with pytest.raises(httpx.ReadTimeout):
        indexer.post("/admin/credit", json=_body(), timeout=0.3)

    assert credited(sandbox) == 1


def _body() -> dict[str, str]:
    return {
        "asset": "UCRED",
        "account": "acct:user:alice",
        "amount_wei": "1",
        "memo": "test",
        "operator_token": "sandbox-operator-token",
    }


def test_latency(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """Every answer comes later."""
    sandbox.faults.set("indexer-latency", 0.2)
    began = time.monotonic()

    indexer.get("/health")

    assert time.monotonic() - began >= 0.2


def test_refused_connections(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """The port is closed, and open again at the same place afterwards."""
    indexer.get("/health")
    sandbox.faults.set("indexer-refuse")
    with pytest.raises((httpx.ConnectError, *DROPPED)):
        indexer.get("/health")
    with pytest.raises(httpx.ConnectError):
        indexer.get("/health")

    sandbox.faults.clear("indexer-refuse")

    assert indexer.get("/health").status_code == 200


def test_a_panic_ends_every_answer_until_a_restart(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """A poisoned lock serves nobody, and the restart that helps forgets everything."""
    sandbox.faults.set("indexer-panic", times=1)
    with pytest.raises(DROPPED):
        credit(indexer)
    with pytest.raises(DROPPED):
        indexer.get("/health")

    sandbox.restart_indexer()

    assert root(indexer) == GENESIS_ROOT


@pytest.mark.parametrize("fault", ["indexer-read-drop", "indexer-read-truncated"])
def test_reads_that_break(sandbox: Sandbox, indexer: httpx.Client, fault: str) -> None:
    """A read may end early."""
    sandbox.faults.set(fault, times=1)

    with pytest.raises(DROPPED):
        indexer.get("/balances?account=acct:treasury:MAIN")

    assert indexer.get("/balances?account=acct:treasury:MAIN").status_code == 200


@pytest.mark.parametrize("fault, status", [("indexer-read-error", 500), ("indexer-read-foreign", 200)])
def test_reads_that_meet_somebody_else(
    sandbox: Sandbox, indexer: httpx.Client, fault: str, status: int
) -> None:
    """A read may be answered by a page of somebody else."""
    sandbox.faults.set(fault)

    answer = indexer.get("/audit")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")


def test_the_planned_limits(sandbox: Sandbox, indexer: httpx.Client, clock: MovableClock) -> None:
    """Ten credits a minute for a token and a hundred requests for an address, then 429 and a time to wait."""
    sandbox.faults.set("indexer-rate-limit")
    sandbox.faults.set("indexer-admin-limit")
    assert [credit(indexer).status_code for _ in range(11)] == [200] * 10 + [429]
    assert credited(sandbox) == 10
    assert [indexer.get("/health").status_code for _ in range(90)] == [200] * 89 + [429]

    answer = indexer.get("/health")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    clock.move(timedelta(seconds=61))
    assert indexer.get("/health").status_code == 200


def test_another_build_and_another_clock(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """Health names the build it is told to, and the clock may run ahead."""
    sandbox.faults.set("indexer-build", "0.3.1")
    sandbox.faults.set("indexer-clock-skew", 400)

    answer = indexer.get("/health")

    assert answer.json()["version"] == "0.3.1"
    assert answer.headers["Date"] == "Tue, 03 Feb 2026 12:06:40 GMT"


def test_a_fault_for_one_account_and_later_occasions(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """A scripted fault leaves other accounts and earlier occasions alone."""
    sandbox.faults.set("indexer-error-before", 503, account="acct:user:bob", skip=1, times=1)

    statuses = [
        credit(indexer, account=f"acct:user:{name}").status_code for name in ("eve", "bob", "bob", "bob")
    ]

    assert statuses == [200, 200, 503, 200]


def test_a_fault_by_chance_repeats_with_its_seed(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """A probable fault strikes sometimes."""
    sandbox.faults.set("indexer-error-before", probability=0.5)

    statuses = {credit(indexer).status_code for _ in range(40)}

    assert statuses == {200, 502}


def test_an_unknown_fault_is_refused(sandbox: Sandbox) -> None:
    """A name that is none is answered with those that are."""
    with pytest.raises(UnknownFault, match="indexer-latency"):
        sandbox.faults.set("gremlins")
