"""What Stripe refuses, and in which words."""

import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest

from ucred_pipeline.sandbox import Sandbox
from ucred_pipeline_tests.sandbox.conftest import MovableClock


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error in an answer."""
    assert answer.headers["Request-Id"].startswith("req_")
    return dict(answer.json()["error"])


def test_a_wrong_key(stripe_api: httpx.Client) -> None:
    """Another key is 401, and its middle is not repeated."""
    key = "sk_test_somebodyelse1234"

    answer = stripe_api.get("/v1/balance", headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 401
    assert error_of(answer)["message"] == "Invalid API Key provided: sk_test_************1234"


def test_no_key(sandbox: Sandbox) -> None:
    """Without a key Stripe explains how to give one."""
    answer = httpx.get(f"{sandbox.stripe_base}/v1/balance", trust_env=False)

    assert answer.status_code == 401
    assert error_of(answer)["message"].startswith("You did not provide an API key.")


def test_basic_authentication(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """The key may be a user's name without a password."""
    token = base64.b64encode(f"{sandbox.spec.key}:".encode()).decode()

    answer = stripe_api.get("/v1/balance", headers={"Authorization": f"Basic {token}"})

    assert answer.status_code == 200


def test_a_revoked_key(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """A key can stop being known."""
    sandbox.faults.set("stripe-unauthorized")

    assert stripe_api.get("/v1/balance").status_code == 401


@pytest.mark.parametrize(
    "resource, permission",
    [
        ("payment_intents", "rak_payment_intent_read"),
        ("charges", "rak_charge_read"),
        ("refunds", "rak_charge_read"),
        ("disputes", "rak_dispute_read"),
        ("events", "rak_event_read"),
    ],
)
def test_a_missing_permission(
    sandbox: Sandbox, stripe_api: httpx.Client, resource: str, permission: str
) -> None:
    """A restricted key is told which permission it lacks, and the rest goes on."""
    sandbox.faults.set("stripe-forbid", resource)

    answer = stripe_api.get(f"/v1/{resource}")

    assert answer.status_code == 403
    assert f"Having the '{permission}' permission would allow this request" in error_of(answer)["message"]
    assert stripe_api.get("/v1/balance").status_code == 200


@pytest.mark.parametrize(
    "path, status, code, param",
    [
        ("payment_intents?limit=0", 400, "parameter_invalid_integer", "limit"),
        ("payment_intents?limit=101", 400, "parameter_invalid_integer", "limit"),
        ("payment_intents?limit=x", 400, "parameter_invalid_integer", "limit"),
        ("payment_intents?created[gte]=soon", 400, "parameter_invalid_integer", "created[gte]"),
        ("payment_intents?colour=red", 400, "parameter_unknown", "colour"),
        ("payment_intents?types[]=charge.failed", 400, "parameter_unknown", "types[]"),
        ("payment_intents?starting_after=pi_gone", 400, "resource_missing", "starting_after"),
        ("payment_intents?ending_before=pi_gone", 400, "resource_missing", "ending_before"),
        ("payment_intents/pi_gone", 404, "resource_missing", "intent"),
        ("charges/ch_gone", 404, "resource_missing", "id"),
        ("payment_intents?expand[]=data.fortune", 400, None, "expand"),
        ("payment_intents?expand[]=latest_charge", 400, None, "expand"),
        ("payouts", 404, None, None),
    ],
)
def test_wrong_questions(
    stripe_api: httpx.Client, path: str, status: int, code: str | None, param: str | None
) -> None:
    """A wrong question is answered by its status, its code, and the parameter that is wrong."""
    answer = stripe_api.get(f"/v1/{path}")

    error = error_of(answer)
    assert (answer.status_code, error.get("code"), error.get("param")) == (status, code, param)
    assert error["type"] == "invalid_request_error"


def test_at_most_twenty_types(stripe_api: httpx.Client) -> None:
    """Twenty types of event are the limit."""
    query: dict[str, Any] = {"types[]": [f"charge.kind{number}" for number in range(21)]}

    assert stripe_api.get("/v1/events", params=query).status_code == 400


def test_both_cursors(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """A page has one cursor at most."""
    cursor = next(iter(sandbox.truth.purchases))

    answer = stripe_api.get(f"/v1/payment_intents?starting_after={cursor}&ending_before={cursor}")

    assert answer.status_code == 400


def test_the_rate_limit(sandbox: Sandbox, stripe_api: httpx.Client, clock: MovableClock) -> None:
    """So many requests a second, then 429 until the second is over."""
    sandbox.faults.set("stripe-rate-limit", 3)

    answers = [stripe_api.get("/v1/balance") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert error_of(answers[-1])["code"] == "rate_limit"
    clock.move(timedelta(seconds=1.1))
    assert stripe_api.get("/v1/balance").status_code == 200


@pytest.mark.parametrize("status", [500, 502])
def test_error_pages(sandbox: Sandbox, stripe_api: httpx.Client, status: int) -> None:
    """A broken Stripe answers HTML."""
    sandbox.faults.set("stripe-error", status, times=1)

    answer = stripe_api.get("/v1/balance")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert stripe_api.get("/v1/balance").status_code == 200


def test_a_truncated_body(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """A body may end before its length."""
    sandbox.faults.set("stripe-truncated", times=1)

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        stripe_api.get("/v1/payment_intents")


def test_a_hung_read(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """The head comes, and the body does not."""
    sandbox.faults.set("stripe-hang", 30, times=1)

    with pytest.raises(httpx.ReadTimeout):
        stripe_api.get("/v1/payment_intents", timeout=0.3)


def test_refused_connections(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """Stripe may not be reached at all, while the indexer is."""
    sandbox.faults.set("stripe-refuse")

    with pytest.raises(httpx.ConnectError):
        stripe_api.get("/v1/balance")
    assert httpx.get(f"{sandbox.indexer_base}/health", trust_env=False).status_code == 200
