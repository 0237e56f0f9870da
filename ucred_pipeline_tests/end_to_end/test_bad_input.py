"""What is asked or set wrongly is refused by name, with what is allowed, and changes nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal, Said

TOMORROW = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
RULES = {
    "an unknown key": ("[limits]\ncorrections_per_runs = 5\n", "limits.corrections_per_runs"),
    "an unknown table": ("[limit]\ncorrections_per_run = 5\n", "limit"),
    "a negative reward": ('rewards = [{ type = "namespace", ucred = "-1" }]', "rewards.0.ucred"),
    "a fraction of a wei": (
        'rewards = [{ type = "namespace", ucred = "0.0000000000000000001" }]',
        "rewards.0.ucred",
    ),
    "a float as a reward": ('rewards = [{ type = "namespace", ucred = 0.1 }]', "rewards.0.ucred"),
    "more than 128 bits": (
        f'rewards = [{{ type = "namespace", ucred = "{2**128}" }}]',
        "rewards.0.ucred",
    ),
    "an unknown type": ('rewards = [{ type = "car", ucred = 1 }]', "rewards.0.type"),
    "no rewards": ("rewards = []", "rewards"),
    "a type without a reward": ('rewards = [{ type = "namespace", ucred = 1 }]', "reward"),
    "a limit of nothing": ("[limits]\ncorrections_per_run = 0\n", "limits.corrections_per_run"),
    "a negative limit": ('[limits]\nucred_per_day = "-5"\n', "limits.ucred_per_day"),
    "a share above all": ("[limits]\nlacking_percent = 101\n", "limits.lacking_percent"),
    "words for a number": ('[stripe]\nworkers = "many"\n', "stripe.workers"),
    "a grace that is too short": ("[purchases]\ngrace_s = 60\n", "purchases.grace_s"),
    "no TOML": ("[limits\n", "TOML"),
}
VARIABLES = {
    "RUST_L1_INDEXER": ["localhost:8089", "ftp://localhost", "http://", "http://host:port", "nonsense"],
    "STRIPE_API_BASE": ["api.stripe.com", "http://x:99999"],
    "PAYMENTS_DATABASE_URL": ["payments.db", "mysql://host/x", "nonsense"],
    "UCRED_DATABASE_URL": ["ledger.db", "mongodb://host/x"],
}


def is_refused(world: Rehearsal, said: Said, named: str) -> None:
    """Check that it is exit 2, named, in few words, and without an effect."""
    assert said.code == 2
    assert named in said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert world.secrets_in(said.err) == []
    assert len(said.err.splitlines()) <= 4
    assert world.sandbox.http_credits == ()


def has_no_ledger(world: Rehearsal) -> bool:
    """Whether no ledger was begun."""
    return list(world.folder.glob("ledger.db*")) == []


@pytest.mark.parametrize("wrong", RULES)
def test_a_wrong_file(plain: Rehearsal, wrong: str) -> None:
    """A wrong `ucred.toml` names the key and the file; nothing is read, and no ledger is begun."""
    text, named = RULES[wrong]
    plain.config.write_text(text, encoding="utf-8")

    said = plain.reconcile()

    is_refused(plain, said, named)
    assert "ucred.toml" in said.err
    assert has_no_ledger(plain)


def test_a_file_in_another_encoding(plain: Rehearsal) -> None:
    """A `ucred.toml` that is not UTF-8 is refused as one, without a traceback."""
    plain.config.write_bytes("# Größe\n".encode("latin-1"))

    is_refused(plain, plain.reconcile(), "ucred.toml")


@pytest.mark.parametrize("name, value", [(name, value) for name in VARIABLES for value in VARIABLES[name]])
def test_a_malformed_variable(plain: Rehearsal, name: str, value: str) -> None:
    """A malformed URL names the variable, and shows one that would do."""
    plain.variables[name] = value

    said = plain.reconcile()

    is_refused(plain, said, name)
    assert "such as" in said.err
    assert has_no_ledger(plain)


@pytest.mark.parametrize(
    "name", ["STRIPE_API_KEY", "PAYMENTS_DATABASE_URL", "RUST_L1_INDEXER", "RUST_L1_ADMIN_TOKEN"]
)
def test_a_variable_that_is_not_set(plain: Rehearsal, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that a run cannot do without is named."""
    monkeypatch.delenv(name, raising=False)
    del plain.variables[name]

    is_refused(plain, plain.reconcile(), name)


def test_a_run_that_only_plans_needs_no_token(plain: Rehearsal) -> None:
    """The token is needed to send, and not to plan."""
    del plain.variables["RUST_L1_ADMIN_TOKEN"]

    assert plain.reconcile(apply=False).code == 0


def test_the_token_that_anybody_knows(plain: Rehearsal) -> None:
    """The indexer's insecure default is refused before anything is read, unless it is allowed by name."""
    plain.sandbox.set_token(None)
    plain.variables["RUST_L1_ADMIN_TOKEN"] = "INSECURE_DEV_TOKEN"
    is_refused(plain, plain.reconcile(), "RUST_L1_ADMIN_TOKEN")

    plain.config.write_text("[indexer]\nallow_insecure_token = true\n", encoding="utf-8")

    assert plain.reconcile().code == 0


def test_a_config_that_was_named_and_is_not_there(plain: Rehearsal) -> None:
    """UCRED_CONFIG that names a missing file is an error, not the defaults."""
    plain.variables["UCRED_CONFIG"] = str(plain.folder / "elsewhere.toml")

    is_refused(plain, plain.reconcile(), "UCRED_CONFIG")
    assert has_no_ledger(plain)


def test_a_ledger_that_is_no_database(plain: Rehearsal) -> None:
    """A ledger's URL that leads to something else is refused, and the file stays as it is."""
    path = plain.folder / "notes.txt"
    path.write_text("Not a database at all.\n" * 500, encoding="utf-8")
    before = path.read_bytes()
    plain.variables["UCRED_DATABASE_URL"] = f"sqlite:///{path.as_posix()}"

    is_refused(plain, plain.reconcile(), "UCRED_DATABASE_URL")
    assert path.read_bytes() == before


def test_a_ledger_in_a_folder_that_is_not_there(plain: Rehearsal) -> None:
    """A second ledger by a typing error is not begun."""
    plain.variables["UCRED_DATABASE_URL"] = f"sqlite:///{(plain.folder / 'gone' / 'l.db').as_posix()}"

    is_refused(plain, plain.reconcile(), "UCRED_DATABASE_URL")
    assert not (plain.folder / "gone").exists()


@pytest.mark.parametrize(
    "days, named",
    [
        (["--from", "2026-01-02", "--to", "2026-01-01"], "--from"),
        (["--from", "01.02.2026"], "YYYY-MM-DD"),
        (["--from", "2026-02-30"], "YYYY-MM-DD"),
        (["--to", "yesterday"], "YYYY-MM-DD"),
        (["--from", "2026-1-1x"], "YYYY-MM-DD"),
        (["--from", TOMORROW], TOMORROW),
    ],
)
def test_wrong_days(plain: Rehearsal, days: list[str], named: str) -> None:
    """A day that is none, a range reversed, a day that has not begun, or that no payment can have."""
    is_refused(plain, plain.reconcile(*days), named)


@pytest.mark.parametrize(
    "arguments",
    [
        ["reconcile", "--wrong"],
        ["demo", "--purchases", "-5"],
        ["nonsense"],
        ["breaks", "--format", "xml"],
        ["hold", "--reason", "no name"],
        ["hold", "--reason", " ", "--by", "Ida"],
        ["resolve", "brk_000000000000", "--as", "credited", "--reason", "seen", "--by", "Ida"],
        ["resolve", "brk_000000000000", "--as", "perhaps", "--reason", "seen", "--by", "Ida"],
        ["release", "--reason", "nothing is held", "--by", "Ida"],
        ["credit", "nowhere.x", "--reason", "asked", "--by", "Ida"],
        ["explain", "nobody@example.com"],
    ],
)
def test_a_wrong_use(plain: Rehearsal, arguments: list[str]) -> None:
    """A wrong use of a command ends with 2 and a line that says what is wrong."""
    said = plain.ucred(*arguments)

    assert (said.code, said.out) == (2, "")
    assert said.err.strip()
    assert "Traceback" not in said.err


def test_an_env_file_that_is_not_there(plain: Rehearsal) -> None:
    """A file of settings that was named and is missing is an error."""
    said = plain.ucred("--env-file", str(plain.folder / "gone.env"), "status")

    assert (said.code, "gone.env" in said.err) == (2, True)
