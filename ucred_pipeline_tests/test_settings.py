"""Settings are read whole or refused: an error names the key and what is allowed, and never a secret."""

import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.domain.rewards import TODAYS_REWARDS, PurchaseType
from ucred_pipeline.settings import (
    Rules,
    Settings,
    SettingsError,
    data_folder,
    default_ledger_url,
    load_rules,
    load_settings,
)

ROOT: Final = Path(__file__).parents[1]
SECRET: Final = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without settings."""
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def rules_of(text: str) -> Rules:
    """Read rules from a file that was named."""
    Path("rules.toml").write_text(text, encoding="utf-8")
    return load_rules("rules.toml")


def refusal(environ: Mapping[str, str]) -> str:
    """Read an environment that is not allowed; give all that the error says, causes included."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_without_a_file_there_are_the_defaults() -> None:
    """The defaults are those of the design."""
    rules = load_settings(environ={}).rules

    assert rules == Rules()
    assert rules.grace == timedelta(minutes=30)
    assert (rules.limits.corrections_per_run, rules.limits.lacking_percent) == (100, 25)
    assert (rules.limits.ucred_per_run, rules.limits.ucred_per_day) == (
        200 * WEI_PER_UCRED,
        500 * WEI_PER_UCRED,
    )
    assert (rules.limits.lacking_percent_from_purchases, rules.limits.lacking_percent_days) == (20, 35)
    assert (rules.limits.approval_hours, rules.indexer.quiescence_s) == (24, 900)
    assert (rules.corrections.breaker_doubts, rules.corrections.breaker_openings) == (3, 3)
    assert rules.indexer.reviewed_builds == ("rust-l1-indexer 0.1.0",)
    assert rules.reward_table() == TODAYS_REWARDS


def test_the_file_of_the_project_says_the_defaults() -> None:
    """Whoever reads `ucred.toml` reads what holds without it."""
    assert load_rules(str(ROOT / "ucred.toml")) == Rules()


def test_every_key_is_in_the_file_of_the_project() -> None:
    """Each key that there is stands in `ucred.toml`, in force or as a comment."""
    text = (ROOT / "ucred.toml").read_text(encoding="utf-8")
    keys = [
        key
        for section, field in Rules.model_fields.items()
        if section != "rewards"
        for key in type(field.default).model_fields
    ]

    assert [key for key in keys if f"{key} =" not in text] == []


def test_a_file_in_the_folder_is_read() -> None:
    """`ucred.toml` in the working directory counts, if it is there; another one has to be named."""
    Path("ucred.toml").write_text("[limits]\ncorrections_per_run = 7\n", encoding="utf-8")
    Path("other.toml").write_text("[limits]\ncorrections_per_run = 8\n", encoding="utf-8")

    assert load_settings(environ={}).rules.limits.corrections_per_run == 7
    assert load_settings(environ={"UCRED_CONFIG": "other.toml"}).rules.limits.corrections_per_run == 8


@pytest.mark.parametrize("named", [None, "ucred.toml"])
@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_no_absence(make: Callable[[Path], None], named: str | None) -> None:
    """A container makes a folder of a mount whose source is missing: the defaults are not meant then."""
    make(Path("ucred.toml"))

    with pytest.raises(SettingsError, match="is no file"):
        load_rules(named)


def test_a_file_that_was_named_must_be_there() -> None:
    """A name that leads nowhere is an error, and not the defaults."""
    with pytest.raises(SettingsError, match=r"UCRED_CONFIG names nowhere\.toml, which is not there"):
        load_settings(environ={"UCRED_CONFIG": "nowhere.toml"})


@pytest.mark.parametrize(
    "text, told",
    [
        ("[limit]\ncorrections_per_run = 1", "limit: unknown key"),
        ("[limits]\ncorrections_per_rum = 1", "limits.corrections_per_rum: unknown key"),
        ("grace_s = 1800", "grace_s: unknown key"),
        ("[limits]\ncorrections_per_run = 0", "limits.corrections_per_run: Input should be greater than 0"),
        ("[limits]\ncorrections_per_run = -1", "limits.corrections_per_run: Input should be greater than 0"),
        (
            "[limits]\ncorrections_per_run = 1.5",
            "limits.corrections_per_run: Input should be a valid integer",
        ),
        (
            '[limits]\ncorrections_per_run = "9"',
            "limits.corrections_per_run: Input should be a valid integer",
        ),
        (
            "[limits]\ncorrections_per_run = true",
            "limits.corrections_per_run: Input should be a valid integer",
        ),
        (
            "[limits]\nlacking_percent = 101",
            "limits.lacking_percent: Input should be less than or equal to 100",
        ),
        ("[limits]\nlacking_percent = nan", "limits.lacking_percent: "),
        ("[limits]\nucred_per_run = -1", "limits.ucred_per_run: "),
        ("[limits]\nucred_per_run = 1.5", "limits.ucred_per_run: "),
        ("[limits]\nucred_per_run = 0", "limits.ucred_per_run: allowed: more than 0 UCRED"),
        ('[purchases]\nminted_ucred = "0.0"', "purchases.minted_ucred: allowed: more than 0 UCRED"),
        ("[indexer]\nquiescence_s = 0", "indexer.quiescence_s: Input should be greater than 0"),
        ("[indexer]\nparallel_accounts = 0", "indexer.parallel_accounts: "),
        ("[stripe]\nworkers = 11", "stripe.workers: Input should be less than or equal to 10"),
        ('[purchases]\nfirst_day = "2024-13-01"', "purchases.first_day: "),
        ('[purchases]\nfirst_day = "yesterday"', "purchases.first_day: "),
        ("[purchases]\nfirst_day = 9999-01-01", "purchases.first_day: expected a day that has begun"),
        ("[purchases]\ngrace_s = 60", "purchases.grace_s must be at least 910"),
        ("[indexer]\nquiescence_s = 1791", "purchases.grace_s must be at least 1801"),
        ('[[rewards]]\ntype = "gold"\nucred = 1', "rewards.0.type: Input should be 'namespace'"),
        ('[[rewards]]\ntype = "nil"\nucred = 1', "rewards: no reward rule"),
        ('[[rewards]]\ntype = "nil"', "rewards.0.ucred: Field required"),
        ('[[rewards]]\ntype = "nil"\nucred = 1\nwei = 1', "rewards.0.wei: unknown key"),
        ("rewards = []", "rewards: no reward rule"),
        ("[limits", "is not valid TOML"),
        ("limits = 3", "limits: "),
    ],
)
def test_a_rule_that_is_not_allowed_is_named(text: str, told: str) -> None:
    """The error names the file, the key and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        rules_of(text)

    assert str(caught.value).startswith("rules.toml")
    assert told in str(caught.value)


_REWARDS: Final = "".join(f'[[rewards]]\ntype = "{kind}"\nucred = {{}}\n' for kind in PurchaseType)


@pytest.mark.parametrize(
    "amount", ["-1", '"-0.5"', '"0.0000000000000000001"', "0.5", '"much"', "nan", '"nan"', "true"]
)
def test_a_reward_that_is_no_amount_is_refused(amount: str) -> None:
    """A negative amount, one with a fraction of a wei, and one that is no number are refused by name."""
    with pytest.raises(
        SettingsError, match=r"rewards\.0\.ucred: .* allowed: 0 or more UCRED, with at most 18"
    ):
        rules_of(_REWARDS.format(amount, 1, 1))


def test_one_wrong_reward_is_one_error() -> None:
    """What is wrong with a reward is said once, without what follows from it."""
    with pytest.raises(SettingsError) as caught:
        rules_of(_REWARDS.format("-1", 1, 1))

    assert str(caught.value).count("rewards") == 1


@pytest.mark.parametrize(
    "amount, wei",
    [("1", 10**18), ('"0.5"', 5 * 10**17), ('"0.000000000000000001"', 1), ("0", 0), ('"20"', 20 * 10**18)],
)
def test_a_reward_is_exact(amount: str, wei: int) -> None:
    """Whole and decimal amounts become wei, to the last."""
    table = rules_of(_REWARDS.format(amount, 1, 1)).reward_table()
    first = next(iter(PurchaseType))

    assert wei == table.entitlement(first, datetime(2026, 1, 1, tzinfo=UTC)).wei


def test_a_reward_may_begin_on_a_day() -> None:
    """Dated rules are data, and two for the same day are refused."""
    later = '[[rewards]]\ntype = "nil"\nucred = 2\nsince = 2026-03-01\n'
    text = _REWARDS.format(1, 1, 1) + later

    assert rules_of(text).rewards[-1].since == date(2026, 3, 1)
    with pytest.raises(SettingsError, match="two reward rules for nil since 2026-03-01"):
        rules_of(text + later)


def test_several_faults_are_all_named() -> None:
    """Whoever corrects a file sees at once what is wrong with it."""
    with pytest.raises(SettingsError) as caught:
        rules_of("[limits]\ncorrections_per_run = 0\n[stripe]\nspeed = 1\n")

    assert "limits.corrections_per_run" in str(caught.value)
    assert "stripe.speed" in str(caught.value)


def test_a_file_in_another_encoding_is_refused() -> None:
    """A file that is no UTF-8 is named, without a traceback."""
    Path("rules.toml").write_bytes("# größe\n".encode("utf-16"))

    with pytest.raises(SettingsError, match=r"rules\.toml is not valid TOML"):
        load_rules("rules.toml")


@pytest.mark.parametrize("name", ["STRIPE_API_BASE", "RUST_L1_INDEXER"])
@pytest.mark.parametrize(
    "url",
    [
        f"{SECRET}",
        f"ftp://{SECRET}/",
        "http://",
        "https:///path",
        f"http://host:{SECRET}/",
        "http://host:99999",
        f"http://host/?key={SECRET}",
        f"http://host/#{SECRET}",
        f"http://[{SECRET}",
        "localhost:8089",
    ],
)
def test_a_malformed_url_is_named(name: str, url: str) -> None:
    """The error names the variable, and does not repeat what may be a secret."""
    told = refusal({name: url})

    assert told.startswith(f"{name}: ")
    assert SECRET not in told


@pytest.mark.parametrize("name", ["PAYMENTS_DATABASE_URL", "UCRED_DATABASE_URL"])
@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        "payments.db",
        "sqlite:payments.db",
        f"mysql://user:{SECRET}@host/name",
        "sqlite://",
        "sqlite://payments.db",
        "sqlite:///:memory:",
        f"postgresql://user:{SECRET}@host:port/name",
        "http://host/name",
    ],
)
def test_a_database_that_is_none_is_named(name: str, url: str) -> None:
    """What is no database of ours, or forgets with its process, is refused with an example."""
    told = refusal({name: url})

    assert told.startswith(f"{name}: expected a URL such as sqlite:///")
    assert SECRET not in told


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///payments.db",
        "sqlite:////data/with space/payments.db",
        "sqlite:///C:/Program Files/payments.db",
        "postgresql://user:password@host:5432/name",
        "postgresql+psycopg://user@/name?host=/run/postgresql",
    ],
)
def test_a_database_may_be_one_of_two(url: str) -> None:
    """SQLite in a file, or PostgreSQL."""
    settings = load_settings(environ={"PAYMENTS_DATABASE_URL": url, "UCRED_DATABASE_URL": url})

    assert (url, url) == (settings.require("PAYMENTS_DATABASE_URL"), settings.ledger_url)


def test_addresses_lose_their_last_slash() -> None:
    """A path of a gateway stays."""
    settings = load_settings(environ={"RUST_L1_INDEXER": "https://gateway.example/l1/"})

    assert settings.require("RUST_L1_INDEXER") == "https://gateway.example/l1"


def test_the_ledger_is_at_one_place() -> None:
    """Without a name the ledger is where the user's data is, wherever the command is called."""
    settings = load_settings(environ={})

    assert settings.ledger_url == default_ledger_url()
    assert make_url(settings.ledger_url).database == (data_folder() / "ledger.db").as_posix()
    assert data_folder().is_absolute()
    assert settings.environment.stripe_api_base == "https://api.stripe.com"


@pytest.mark.parametrize("folder", ["with space", "per%20cent", "what?", "sharp#"])
def test_the_ledgers_place_may_have_any_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """A user's name may be anything."""
    monkeypatch.setattr("ucred_pipeline.settings.data_folder", lambda: tmp_path / folder)

    assert make_url(default_ledger_url()).database == (tmp_path / folder / "ledger.db").as_posix()


def test_what_is_needed_and_not_set_is_named() -> None:
    """A command says which variable it cannot do without."""
    with pytest.raises(SettingsError, match="STRIPE_API_KEY is not set"):
        load_settings(environ={"STRIPE_API_KEY": ""}).require("STRIPE_API_KEY")


def env_file(text: str, name: str = ".env") -> Path:
    """Write a file of variables."""
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    return file


def test_a_dotenv_is_read_after_the_environment() -> None:
    """`.env` fills in what the environment does not say; a file that is named wins over it."""
    env_file("STRIPE_API_KEY=from-dotenv\nRUST_L1_ADMIN_TOKEN=from-dotenv\n")
    named = env_file("STRIPE_API_KEY=named\nUCRED_CONFIG=\n", "sandbox.env")
    environ = {"STRIPE_API_KEY": "from-environment", "RUST_L1_INDEXER": "http://localhost:1"}

    plain = load_settings(environ=environ)
    by_name = load_settings(named, environ)

    assert plain.require("STRIPE_API_KEY") == "from-environment"
    assert plain.require("RUST_L1_ADMIN_TOKEN") == "from-dotenv"
    assert by_name.require("STRIPE_API_KEY") == "named"
    assert by_name.require("RUST_L1_INDEXER") == "http://localhost:1"
    assert by_name.environment.rust_l1_admin_token is None


def test_a_dotenv_is_taken_word_for_word() -> None:
    """Nothing in it stands for another variable: a token may have a dollar sign."""
    env_file("RUST_L1_ADMIN_TOKEN='a$b${HOME}c'\nUCRED_INDEXER_LOG=C:\\logs with spaces\\*.log\n")
    settings = load_settings(environ={})

    assert settings.require("RUST_L1_ADMIN_TOKEN") == "a$b${HOME}c"
    assert settings.require("UCRED_INDEXER_LOG") == "C:\\logs with spaces\\*.log"


def test_a_named_env_file_must_be_there() -> None:
    """A file of variables that was named and is not there is an error."""
    with pytest.raises(SettingsError, match=r"nowhere\.env is not there"):
        load_settings(Path("nowhere.env"), {})


def full(**changes: str) -> Settings:
    """Read settings with every secret set."""
    environ = {
        "STRIPE_API_KEY": SECRET,
        "RUST_L1_ADMIN_TOKEN": SECRET,
        "RUST_L1_INDEXER": "http://localhost:8089",
        "PAYMENTS_DATABASE_URL": f"postgresql://user:{SECRET}@host/name",
        "UCRED_DATABASE_URL": f"postgresql://user:{SECRET}@host/ledger",
    }
    return load_settings(environ=environ | changes)


def test_no_text_of_the_settings_has_a_secret() -> None:
    """Printed, or shown in an error of a program, settings tell no secret."""
    settings = full()

    assert SECRET not in repr(settings) + str(settings) + str(settings.model_dump())
    assert SECRET in settings.ledger_url


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:8089",
        "http://127.0.0.1:8089",
        "http://[::1]:8089",
        "http://10.1.2.3:8089",
        "http://192.168.1.9",
        "https://indexer.example.com",
    ],
)
def test_credits_go_where_nobody_listens(address: str) -> None:
    """A private or an encrypted way is fine."""
    full(RUST_L1_INDEXER=address).refuse_unsafe_crediting()


@pytest.mark.parametrize("address", ["http://indexer.example.com", "http://8.8.8.8:8089"])
def test_credits_do_not_go_in_the_open(address: str) -> None:
    """Plain HTTP to a public address is refused, unless the settings allow it."""
    with pytest.raises(SettingsError, match="RUST_L1_INDEXER") as caught:
        full(RUST_L1_INDEXER=address).refuse_unsafe_crediting()
    assert SECRET not in str(caught.value)

    Path("ucred.toml").write_text("[indexer]\nallow_plain_http = true\n", encoding="utf-8")
    full(RUST_L1_INDEXER=address).refuse_unsafe_crediting()


def test_a_token_that_anybody_knows_is_refused() -> None:
    """The indexer's own default is for tests that say so."""
    with pytest.raises(SettingsError, match="RUST_L1_ADMIN_TOKEN is the indexer's insecure default"):
        full(RUST_L1_ADMIN_TOKEN="INSECURE_DEV_TOKEN").refuse_unsafe_crediting()

    Path("ucred.toml").write_text("[indexer]\nallow_insecure_token = true\n", encoding="utf-8")
    full(RUST_L1_ADMIN_TOKEN="INSECURE_DEV_TOKEN").refuse_unsafe_crediting()
