"""What cannot be read whole decides nothing, is named, and gives no secret away."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal, Said

#: Tries that do not wait for long.
HASTY = """
[stripe]
attempts = 1
timeout_s = 1
[indexer]
attempts = 1
timeout_s = 1
"""


@pytest.fixture
def world(rehearse: Rehearse) -> Rehearsal:
    """A small world in which a tenth lacks."""
    return rehearse(HASTY, purchases=40, special_cases=False, lacking_share=0.1)


def database(world: Rehearsal) -> Path:
    """The payments API's database."""
    return world.sandbox.folder / "payments.db"


def execute(world: Rehearsal, *statements: str) -> None:
    """Change the payments API's database behind everybody's back."""
    with closing(sqlite3.connect(database(world), isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def fault(name: str, value: str | None = None, *, skip: int = 0) -> Callable[[Rehearsal], None]:
    """Switch a fault of the sandbox on."""
    return lambda world: world.sandbox.faults.set(name, value, skip=skip)


def without_column(world: Rehearsal) -> None:
    """Take a column away that every run needs."""
    execute(world, "ALTER TABLE issuances RENAME COLUMN namespace TO name_space")


def without_table(world: Rehearsal) -> None:
    """Take a table away."""
    execute(world, "ALTER TABLE issuances RENAME TO certificates")


def no_database(world: Rehearsal) -> None:
    """Name a file that is no database."""
    path = world.folder / "no database.db"
    path.write_text("This was never a database. " * 100, encoding="utf-8")
    world.variables["PAYMENTS_DATABASE_URL"] = f"sqlite:///{path.as_posix()}"


def no_file(world: Rehearsal) -> None:
    """Name a database that is not there."""
    world.variables["PAYMENTS_DATABASE_URL"] = f"sqlite:///{(world.folder / 'gone.db').as_posix()}"


def no_log(world: Rehearsal) -> None:
    """Name a log that is not there."""
    world.variables["UCRED_INDEXER_LOG"] = (world.folder / "gone.log").as_posix()


def log_is_folder(world: Rehearsal) -> None:
    """Name a folder as the log."""
    world.variables["UCRED_PAYMENTS_LOG"] = world.folder.as_posix()


BROKEN = {
    "indexer down": (fault("indexer-refuse"), ["indexer"]),
    "indexer errors": (fault("indexer-read-error"), ["indexer"]),
    "indexer drops": (fault("indexer-read-drop"), ["indexer"]),
    "indexer truncates": (fault("indexer-read-truncated"), ["indexer"]),
    "somebody else's page": (fault("indexer-read-foreign"), ["indexer"]),
    "stripe down": (fault("stripe-refuse"), ["Stripe"]),
    "stripe forbids refunds": (fault("stripe-forbid", "refunds"), ["Stripe", "403", "refunds"]),
    "stripe forbids disputes": (fault("stripe-forbid", "disputes"), ["Stripe", "403", "disputes"]),
    "stripe forbids intents": (fault("stripe-forbid", "payment_intents"), ["403", "PaymentIntents"]),
    "stripe forbids events": (fault("stripe-forbid", "events"), ["Stripe", "403", "events"]),
    "stripe knows no such key": (fault("stripe-unauthorized"), ["STRIPE_API_KEY", "401"]),
    "stripe breaks off": (fault("stripe-error", skip=8), ["Stripe", "500"]),
    "stripe truncates": (fault("stripe-truncated", skip=8), ["Stripe"]),
    "stripe truncates at once": (fault("stripe-truncated"), ["Stripe"]),
    "no column": (without_column, ["issuances", "namespace"]),
    "no table": (without_table, ["issuances"]),
    "no database": (no_database, ["payments database"]),
    "no file": (no_file, ["gone.db"]),
    "no log": (no_log, ["gone.log"]),
    "a log that is a folder": (log_is_folder, ["log"]),
}


def is_discreet(world: Rehearsal, said: Said) -> bool:
    """Whether neither a traceback nor a secret was written."""
    return "Traceback" not in said.text and world.secrets_in(said.text) == []


@pytest.mark.parametrize("broken", BROKEN)
def test_a_source_that_cannot_be_read_whole(world: Rehearsal, broken: str) -> None:
    """The run ends with 3, says in a line or two what is wrong, decides nothing, and the next one goes on."""
    breaking, named = BROKEN[broken]
    breaking(world)

    said = world.reconcile()

    assert (said.code, said.document) == (3, None)
    assert [name for name in named if name.lower() not in said.err.lower()] == []
    assert len(said.err.splitlines()) <= 2
    assert is_discreet(world, said)
    assert world.sandbox.http_credits == ()
    assert {found.verdict for found in world.judged().values()} <= {None}


@pytest.mark.parametrize("broken", ["indexer down", "stripe breaks off", "no table", "no log"])
def test_a_source_that_comes_back(world: Rehearsal, broken: str) -> None:
    """Once the source is whole again the next run credits what lacks, each once."""
    variables = dict(world.variables)
    BROKEN[broken][0](world)
    assert world.reconcile().code == 3

    world.sandbox.faults.clear()
    world.variables = variables
    if broken == "no table":
        execute(world, "ALTER TABLE certificates RENAME TO issuances")
    world.config.write_text("# As patient as by default.", encoding="utf-8")
    world.later()

    assert world.reconcile().code == 0
    assert world.sent() == world.owed()


@pytest.mark.parametrize("broken", ["indexer down", "stripe breaks off", "no table", "no log"])
def test_a_source_that_breaks_later(world: Rehearsal, broken: str) -> None:
    """What an earlier run concluded stays as it was, and nothing more is sent from it."""
    world.reconcile(apply=False)
    before = {name: found.verdict for name, found in world.judged().items()}
    world.sandbox.purchase("lacking_indexer_down")
    world.later()
    if broken == "stripe breaks off":
        world.sandbox.faults.set("stripe-error", skip=5)
    else:
        BROKEN[broken][0](world)

    said = world.reconcile()

    assert (said.code, world.sandbox.http_credits) == (3, ())
    after = {name: found.verdict for name, found in world.judged().items() if name in before}
    assert after == before


def test_stripe_that_breaks_off_in_the_middle(rehearse: Rehearse) -> None:
    """A sweep of many pages that breaks off decides nothing, and goes on where it was the next time."""
    world = rehearse(HASTY, purchases=700, special_cases=False, lacking_share=0.01)
    world.sandbox.faults.set("stripe-error", "502", skip=12)
    broken = world.reconcile()
    assert (broken.code, broken.document, world.sandbox.http_credits) == (3, None, ())
    assert {found.verdict for found in world.judged().values()} <= {None}

    world.sandbox.faults.clear()

    assert world.reconcile().code == 0
    assert world.sent() == world.owed()


def test_a_wrong_token(world: Rehearsal) -> None:
    """A wrong token: exit 4 with not one attempt, and 2 from `doctor`; the right one is all it takes."""
    right, owed = world.variables["RUST_L1_ADMIN_TOKEN"], world.owed()
    world.variables["RUST_L1_ADMIN_TOKEN"] = "wrong-canary-token"
    for _ in range(4):
        held = world.reconcile()
        assert (held.code, held.document["hold"]) == (4, "token_refused")
        assert held.document["corrections"]["held"] == len(owed)
        assert "RUST_L1_ADMIN_TOKEN" in held.err
        world.later()
    examined = world.ucred("doctor")
    assert (examined.code, "token" in examined.text.lower()) == (2, True)
    assert world.attempts() == {}
    assert "wrong-canary-token" not in held.text + examined.text
    assert is_discreet(world, held)

    world.variables["RUST_L1_ADMIN_TOKEN"] = right

    assert world.ucred("doctor").code == 0
    assert world.reconcile().code == 0
    assert world.sent() == owed


def test_a_token_that_is_rotated_during_a_run(rehearse: Rehearse) -> None:
    """A token refused in the middle of a run ends its sending at once; nothing is spent on the rest."""
    world = rehearse(
        "[indexer]\nparallel_accounts = 1\n", purchases=40, special_cases=False, lacking_share=0.1
    )
    credit, seen = world.sandbox.world.indexer.accepts, []

    def accepts(token: str) -> bool:
        seen.append(token)
        return credit(token) and len(seen) < 4

    world.sandbox.world.indexer.accepts = accepts  # type: ignore[method-assign]
    said = world.reconcile()

    assert (said.code, said.document["hold"]) == (4, "token_refused")
    # One proves the token, two are credited, one is refused, and the last is not tried.
    assert len(seen) == 4
    assert world.attempts() == {"applied": 2, "not_applied": 1}
    world.sandbox.world.indexer.accepts = credit  # type: ignore[method-assign]
    world.later()
    assert world.reconcile().code == 0
    assert world.sent() == world.owed()


@pytest.mark.parametrize(
    "name, value, hold",
    [
        ("indexer-build", "0.2.0", "unknown_build"),
        ("indexer-clock-skew", "400", "clocks_disagree"),
        ("indexer-clock-skew", "-400", "clocks_disagree"),
    ],
)
def test_a_gate_that_is_closed(world: Rehearsal, name: str, value: str, hold: str) -> None:
    """An unknown build, or clocks that disagree: exit 4 with the reason, and not one attempt."""
    world.sandbox.faults.set(name, value)

    said = world.reconcile()

    assert (said.code, said.document["hold"], world.attempts()) == (4, hold, {})
    world.sandbox.faults.clear()
    world.later()
    again = world.reconcile()
    assert (again.code, world.sent()) == (0, world.owed()), again.text


def test_an_optional_column_that_is_missing(world: Rehearsal) -> None:
    """A missing column that is optional, and a new one, stop nothing."""
    execute(
        world,
        "ALTER TABLE issuances RENAME COLUMN nil_name TO nil_label",
        "ALTER TABLE payment_intents ADD COLUMN brand_new TEXT",
    )

    assert world.reconcile().code == 0
    assert world.sent() == world.owed()
