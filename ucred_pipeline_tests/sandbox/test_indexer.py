"""The indexer answers as the reviewed build does: statuses, texts, and the order in which it decides."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from ucred_pipeline.domain.money import MAX_WEI, WEI_PER_UCRED
from ucred_pipeline.domain.state_root import GENESIS, state_root
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline.sandbox.commitment import Commitment
from ucred_pipeline_tests.sandbox.conftest import MovableClock

GENESIS_ROOT = "13a441f673cdab318c220e8aac57a06107dc637fcb4bd64d37b6e8b28848a4e7"
ALICE_ROOT = "79cdab209c4609e07bde327a2a0157834391c8fb58e3a44849d153cf845e3863"
TEST_ALICE_ROOT = "4dbb2c7b5b3572af447ae1c1f5e0ffc09f22af4a2494926c0648190f53887da5"
TENTH = str(WEI_PER_UCRED // 10)


@pytest.fixture
def genesis(tmp_path: Path, clock: MovableClock) -> Iterator[httpx.Client]:
    """A client of an indexer that nobody has used."""
    spec = SandboxSpec(purchases=0, special_cases=False)
    with (
        Sandbox(spec, folder=tmp_path, clock=clock) as running,
        httpx.Client(base_url=running.indexer_base, trust_env=False) as client,
    ):
        yield client


def credit(client: httpx.Client, **changes: Any) -> httpx.Response:
    """Ask for a credit as an operator does."""
    body = {
        "asset": "UCRED",
        "account": "acct:user:alice",
        "amount_wei": TENTH,
        "memo": "test",
        "operator_token": "sandbox-operator-token",
    }
    return client.post("/admin/credit", json=body | changes)


def root(client: httpx.Client) -> str:
    """The root that `/audit` gives."""
    answer: dict[str, Any] = client.get("/audit").json()
    assert answer["height"] == 0
    return str(answer["state_root"])


@pytest.mark.parametrize(
    "account, published", [("acct:user:alice", ALICE_ROOT), ("acct:user:test_alice", TEST_ALICE_ROOT)]
)
def test_published_roots(genesis: httpx.Client, account: str, published: str) -> None:
    """Genesis and one credit on it have the roots that the owners published."""
    assert root(genesis) == GENESIS_ROOT

    answer = credit(genesis, account=account).json()

    assert answer == {"success": True, "new_balance_wei": TENTH, "state_root": published}
    assert root(genesis) == published


def test_health_and_assets(indexer: httpx.Client) -> None:
    """The build names itself, and UCRED has 18 decimals."""
    health = {"status": "healthy", "service": "rust-l1-indexer", "version": "0.1.0"}

    assert indexer.get("/health").json() == health
    assets = {row["symbol"]: row for row in indexer.get("/assets").json()}
    assert assets["UCRED"] == {"symbol": "UCRED", "decimals": 18, "policy_uri": "ipfs://QmUCRED"}
    assert assets["EUR"]["policy_uri"] is None


@pytest.mark.parametrize(
    "account",
    ["acct:user:a+b@x.com", "acct:user:a&b=c@x.com", "acct:user:ä%41@x.com", 'acct:user:"a b"@x.com'],
)
def test_accounts_are_bytes(genesis: httpx.Client, account: str) -> None:
    """Any text is an account when it is percent-encoded, and only that account is credited."""
    credit(genesis, account=account)

    held = genesis.get(f"/balances?account={quote(account, safe='')}").json()
    assert held == [{"asset": "UCRED", "balance_wei": TENTH}]
    assert genesis.get(f"/balances?account={quote(account.upper(), safe='')}").json() == []


def test_an_unencoded_plus_is_a_space(genesis: httpx.Client) -> None:
    """Who does not encode asks for another account and finds nothing."""
    credit(genesis, account="acct:user:a+b@x.com")

    assert (
        genesis.get(httpx.URL(str(genesis.base_url) + "/balances?account=acct:user:a+b@x.com")).json() == []
    )


def test_a_balance_needs_an_account(indexer: httpx.Client) -> None:
    """A query without an account is refused in plain text."""
    answer = indexer.get("/balances")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert answer.text == "Failed to deserialize query string: missing field `account`"


@pytest.mark.parametrize(
    "content_type, body, status, text",
    [
        ("text/plain", "{}", 415, "Expected request with `Content-Type: application/json`"),
        ("application/json", "{", 400, "Failed to parse the request body as JSON"),
        ("application/json", "", 400, "Failed to parse the request body as JSON: EOF"),
        ("application/json", "{}", 422, "missing field `asset`"),
        ("application/json", "[]", 422, "invalid type: sequence"),
        ("application/json", '{"asset":1}', 422, "invalid type: integer `1`, expected a string"),
        ("application/json", '{"asset":"A","asset":"A"}', 422, "duplicate field `asset`"),
    ],
)
def test_a_wrong_shape_is_refused_first(
    indexer: httpx.Client, content_type: str, body: str, status: int, text: str
) -> None:
    """The extractor answers in plain text before anything else is looked at."""
    answer = indexer.post("/admin/credit", content=body, headers={"Content-Type": content_type})

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert text in answer.text


def test_the_token_is_decided_before_the_amount(indexer: httpx.Client) -> None:
    """A wrong token is 401 whatever the amount; a right one with a wrong amount is 400."""
    wrong = credit(indexer, operator_token="wrong", amount_wei="x")
    right = credit(indexer, amount_wei="x")

    assert (wrong.status_code, wrong.text) == (401, "Invalid operator token")
    assert (right.status_code, right.text) == (400, "Invalid amount: invalid digit found in string")


@pytest.mark.parametrize(
    "amount, status, text",
    [
        ("", 400, "Invalid amount: cannot parse integer from empty string"),
        ("-1", 400, "Invalid amount: invalid digit found in string"),
        ("1.0", 400, "Invalid amount: invalid digit found in string"),
        ("٣", 400, "Invalid amount: invalid digit found in string"),
        (str(MAX_WEI + 1), 400, "Invalid amount: number too large to fit in target type"),
        ("9" * 5000, 400, "Invalid amount: number too large to fit in target type"),
        ("0", 500, "credit amount must be > 0"),
        ("+5", 200, '"success":true'),
    ],
)
def test_amounts(indexer: httpx.Client, amount: str, status: int, text: str) -> None:
    """Amounts are read as Rust reads a u128."""
    answer = credit(indexer, account="acct:user:amounts", amount_wei=amount)

    assert answer.status_code == status
    assert text in answer.text


def test_overflow(indexer: httpx.Client) -> None:
    """128 bits are all there is, and a refused credit changes nothing."""
    assert credit(indexer, amount_wei=str(MAX_WEI)).status_code == 200
    before = root(indexer)

    answer = credit(indexer, amount_wei="1")

    assert (answer.status_code, answer.text) == (500, "balance overflow")
    assert root(indexer) == before


def test_assets_are_upper_cased_and_unchecked(genesis: httpx.Client) -> None:
    """Any text is an asset, in capitals."""
    credit(genesis, asset="ucred")
    credit(genesis, asset="nonsense")

    held = genesis.get("/balances?account=acct:user:alice").json()
    assert [row["asset"] for row in held] == ["NONSENSE", "UCRED"]


def test_it_is_not_idempotent(genesis: httpx.Client) -> None:
    """The same request twice credits twice."""
    credit(genesis)

    assert credit(genesis).json()["new_balance_wei"] == str(2 * WEI_PER_UCRED // 10)


def test_an_unset_token_is_the_insecure_one(tmp_path: Path) -> None:
    """Without its variable the indexer accepts INSECURE_DEV_TOKEN."""
    spec = SandboxSpec(purchases=0, special_cases=False, token=None)
    with (
        Sandbox(spec, folder=tmp_path) as running,
        httpx.Client(base_url=running.indexer_base, trust_env=False) as client,
    ):
        assert credit(client, operator_token="INSECURE_DEV_TOKEN").status_code == 200
        assert credit(client).status_code == 401


def test_other_paths_and_methods(indexer: httpx.Client) -> None:
    """What is not a route is 404, and a wrong method 405."""
    assert indexer.get("/credits").status_code == 404
    assert indexer.get("/admin/credit").status_code == 405
    assert indexer.post("/audit").status_code == 405


def test_the_date_comes_from_the_clock(indexer: httpx.Client, clock: MovableClock) -> None:
    """Tests move the indexer's time."""
    assert indexer.get("/health").headers["Date"] == "Tue, 03 Feb 2026 12:00:00 GMT"

    clock.move(timedelta(days=1))

    assert indexer.get("/health").headers["Date"] == "Wed, 04 Feb 2026 12:00:00 GMT"


def test_a_restart_forgets(sandbox: Sandbox, indexer: httpx.Client) -> None:
    """After a restart there is genesis and nothing else."""
    assert root(indexer) != GENESIS_ROOT

    sandbox.restart_indexer()

    assert root(indexer) == GENESIS_ROOT


def test_a_root_kept_up_is_the_root_computed() -> None:
    """The incremental root equals the domain's after any order of changes, over many blocks."""
    balances = dict(GENESIS)
    kept = Commitment()
    for (asset, account), wei in balances.items():
        kept.put(asset, account, wei)
    for number in range(3000):
        key = (("UCRED", "GOLD")[number % 2], f"acct:user:{number * 7919 % 2500}")
        balances[key] = 0 if number % 11 == 0 else number
        kept.put(*key, balances[key])
        if number % 500 == 0:
            assert kept.root() == state_root(balances)

    assert kept.root() == state_root(balances)
