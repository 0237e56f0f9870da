"""Whether everything that a run needs is in order."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.ledger.safety import HoldKind, Signed, raise_hold, release_holds
from ucred_pipeline.orchestration import doctor
from ucred_pipeline.orchestration.doctor import Finding, Level, examine, render, worst
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline_tests.reporting.worlds import opened, words


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A small world with logs."""
    with Sandbox(SandboxSpec(purchases=40), folder=tmp_path_factory.mktemp("doctor") / "a world") as running:
        yield running


@pytest.fixture
def faulty(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The world, whose faults are mended after the test."""
    yield sandbox
    sandbox.faults.clear()


def examined(sandbox: Sandbox, folder: Path, **variables: str) -> list[Finding]:
    """Examine a pipeline on a sandbox; no secret and no customer may show in what is found."""
    with opened(sandbox, folder, **variables) as pipeline:
        found = examine(pipeline)
    text = words(render(found))
    for secret in (
        sandbox.spec.key,
        str(sandbox.spec.token),
        *variables.get("RUST_L1_ADMIN_TOKEN", "").split(),
    ):
        assert secret not in text
    assert "@" not in text
    return found


def named(found: list[Finding], name: str, level: Level) -> str:
    """Give what was said about one thing at one level."""
    return " ".join(f"{one.told} {one.advice}" for one in found if (one.name, one.level) == (name, level))


def failed(found: list[Finding]) -> set[str]:
    """Name what is not in order."""
    return {one.name for one in found if one.level is Level.ERROR}


def test_all_in_order(sandbox: Sandbox, tmp_path: Path) -> None:
    """A sound world has nothing but good findings, and no credit was made to find out."""
    before = len(sandbox.credits)
    found = examined(sandbox, tmp_path)

    assert {one.level for one in found} == {Level.OK}
    assert worst(found) == "ok"
    assert len(sandbox.credits) == before
    assert "it is complete" in named(found, "indexer log", Level.OK)
    assert "Everything that a run needs is in order." in words(render(found))


@pytest.mark.parametrize(
    "name", ["STRIPE_API_KEY", "PAYMENTS_DATABASE_URL", "RUST_L1_INDEXER", "RUST_L1_ADMIN_TOKEN"]
)
def test_a_variable_is_missing(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    """Each missing variable is named, and the rest is examined all the same."""
    found = examined(sandbox, tmp_path, **{name: ""})

    assert name in named(found, "settings", Level.ERROR)
    assert worst(found) == "error"
    assert {one.name for one in found} == set(doctor._EXAMINATIONS)


def test_a_permission_is_missing(faulty: Sandbox, tmp_path: Path) -> None:
    """A permission that the key lacks is named."""
    faulty.faults.set("stripe-forbid", "disputes")

    assert "Disputes: read" in named(examined(faulty, tmp_path), "Stripe", Level.ERROR)


def test_an_unrestricted_key(tmp_path: Path) -> None:
    """A key that may do everything is no key for reading."""
    with Sandbox(SandboxSpec(purchases=0, key="sk_test_everything"), folder=tmp_path / "w") as other:
        found = examined(other, tmp_path)

    assert "restricted key" in named(found, "Stripe", Level.WARNING)


def test_a_wrong_token(sandbox: Sandbox, tmp_path: Path) -> None:
    """A wrong token is found without an effect, and is the only fault."""
    found = examined(sandbox, tmp_path, RUST_L1_ADMIN_TOKEN="wrong-token")

    assert failed(found) == {"operator token"}
    assert "set the right one" in named(found, "operator token", Level.ERROR)


def test_a_published_token(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of the owners' public documents works, and is to be rotated."""
    monkeypatch.setattr(doctor, "_PUBLISHED", sha256(str(sandbox.spec.token).encode()).hexdigest())
    found = examined(sandbox, tmp_path)

    assert "rotated" in named(found, "operator token", Level.WARNING)
    assert worst(found) == "warning"


def test_the_insecure_token(tmp_path: Path) -> None:
    """The indexer's insecure default is refused, unless the settings allow it for a test."""
    config = tmp_path / "ucred.toml"
    config.write_text("[indexer]\nallow_insecure_token = true\n", encoding="utf-8")
    with Sandbox(SandboxSpec(purchases=0, token=None), folder=tmp_path / "w") as open_world:
        refused = examined(open_world, tmp_path)
        allowed = examined(open_world, tmp_path, UCRED_CONFIG=str(config))

    assert "insecure default" in named(refused, "operator token", Level.ERROR)
    assert "insecure default" in named(allowed, "operator token", Level.WARNING)


def test_plain_http(sandbox: Sandbox, tmp_path: Path) -> None:
    """The token never leaves over plain http to a public address; nothing is even tried."""
    with opened(sandbox, tmp_path, RUST_L1_INDEXER="http://indexer.example.com:8089") as pipeline:
        found = doctor._safely("operator token", doctor._token, pipeline)

    assert "overheard" in named(found, "operator token", Level.ERROR)


def test_the_indexer_is_down(faulty: Sandbox, tmp_path: Path) -> None:
    """An indexer that does not listen fails what needs it, and nothing else."""
    faulty.faults.set("indexer-refuse")

    assert failed(examined(faulty, tmp_path)) == {"indexer", "operator token", "indexer log"}


def test_an_unknown_build(faulty: Sandbox, tmp_path: Path) -> None:
    """A build that was not reviewed is an error, with where to read on."""
    faulty.faults.set("indexer-build", "9.9.9")

    assert "runbook" in named(examined(faulty, tmp_path), "indexer", Level.ERROR)


def test_clocks(faulty: Sandbox, tmp_path: Path) -> None:
    """Clocks that are apart are an error."""
    faulty.faults.set("indexer-clock-skew", "400")

    assert "NTP" in named(examined(faulty, tmp_path), "indexer", Level.ERROR)


def test_no_such_database(sandbox: Sandbox, tmp_path: Path) -> None:
    """A payments database that is not there is named by its setting."""
    url = f"sqlite:///{(tmp_path / 'nowhere.db').as_posix()}"
    found = examined(sandbox, tmp_path, PAYMENTS_DATABASE_URL=url)

    assert failed(found) == {"payments database"}
    assert not (tmp_path / "nowhere.db").exists()


def test_logs(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without logs less is proved; one that is not there is an error, one with a gap is not complete."""
    lines = (sandbox.folder / "indexer.log").read_text(encoding="utf-8").splitlines()
    gap = tmp_path / "gap.log"
    gap.write_text("\n".join(lines[:5] + lines[9:]) + "\n", encoding="utf-8")

    without = examined(sandbox, tmp_path, UCRED_INDEXER_LOG="", UCRED_PAYMENTS_LOG="")
    nowhere = examined(sandbox, tmp_path, UCRED_INDEXER_LOG=str(tmp_path / "nowhere.log"))
    torn = examined(sandbox, tmp_path, UCRED_INDEXER_LOG=str(gap))

    assert "balances alone" in named(without, "indexer log", Level.WARNING)
    assert "no file matches" in named(nowhere, "indexer log", Level.ERROR)
    assert "not proved complete" in named(torn, "indexer log", Level.WARNING)


def test_a_hold(sandbox: Sandbox, tmp_path: Path) -> None:
    """A hold in force is a warning with what to do."""
    with opened(sandbox, tmp_path) as pipeline:
        signed = Signed("Kim", SystemClock().now(), "the indexer is being moved")
        with pipeline.ledger.write() as connection:
            raise_hold(connection, HoldKind.PERSON, signed)
        found = examine(pipeline)
        with pipeline.ledger.write() as connection:
            release_holds(connection, signed)

    assert "the indexer is being moved" in named(found, "ledger", Level.WARNING)
    assert "ucred release" in named(found, "ledger", Level.WARNING)


def test_a_fault_of_ours_hides_nothing(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An examination that breaks is one finding without its secrets; the others are made."""

    def broken(*_: object) -> None:
        raise RuntimeError("sk_live_secret")

    monkeypatch.setattr(doctor, "read_payments_database", broken)
    found = examined(sandbox, tmp_path)

    assert failed(found) == {"payments database"}
    assert "sk_live_secret" not in words(render(found))


def test_alert_routes(sandbox: Sandbox, tmp_path: Path) -> None:
    """Addresses that can be read are named without what is secret in them; one that cannot, by its place."""
    good = examined(sandbox, tmp_path, UCRED_ALERT_URLS="json://user:pa55@127.0.0.1/hush")
    partly = examined(sandbox, tmp_path, UCRED_ALERT_URLS="critical=json://127.0.0.1/hush")
    bad = examined(sandbox, tmp_path, UCRED_ALERT_URLS="json://127.0.0.1/hush nonsense://hush")

    assert worst(good) == "ok"
    assert "1. JSON" in named(good, "alert routes", Level.OK)
    assert "warning" in named(partly, "alert routes", Level.WARNING)
    assert "entry 2 of UCRED_ALERT_URLS" in named(bad, "alert routes", Level.ERROR)
    for found in (good, partly, bad):
        assert not {"hush", "pa55"} & set(re.findall(r"\w+", words(render(found))))
