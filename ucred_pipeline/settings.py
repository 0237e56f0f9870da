"""Settings: the environment and `ucred.toml`, read into one frozen and validated object.

The environment says where things are and holds the secrets; `ucred.toml` holds rules, limits and
time-outs. Every key has a default; an unknown key, or a value outside of what is allowed, is an
error that names it. Durations are in seconds unless the key's name says otherwise.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import platformdirs
from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ucred_pipeline.domain.money import InvalidAmount, ucred_to_wei
from ucred_pipeline.domain.rewards import PurchaseType, RewardRule, RewardTable

APPLICATION: Final = "ucred"
STRIPE: Final = "https://api.stripe.com"
INSECURE_TOKEN: Final = "INSECURE_DEV_TOKEN"  # noqa: S105 - the indexer's own default, which we refuse
#: How long the payments API waits for its own mint, by its source.
PAYMENTS_API_TIMEOUT_S: Final = 10


class SettingsError(Exception):
    """A setting is missing or not allowed; the message names it and says what is."""


def _amount(value: Any) -> int:
    try:
        return ucred_to_wei(value)
    except InvalidAmount as error:
        raise ValueError(f"{error}; allowed: 0 or more UCRED, with at most 18 decimals") from error


def _more_than_nothing(value: int) -> int:
    if value == 0:
        raise ValueError("allowed: more than 0 UCRED")
    return value


def _begun(value: date) -> date:
    if value > datetime.now(UTC).date():
        raise ValueError("expected a day that has begun: today in UTC, or earlier")
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    try:
        well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        well_formed = False
    if well_formed and (parts.username is not None or parts.password is not None):
        raise ValueError("a user or a password does not belong into this URL")
    if not well_formed or parts.query or parts.fragment:
        raise ValueError("expected a URL such as http://localhost:8089 or https://host/path")
    return value.rstrip("/")


def _database_url(value: SecretStr) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        url, backend = None, ""
    in_a_file = url is not None and not url.host and url.database not in {None, "", ":memory:"}
    if not (backend == "postgresql" or (backend == "sqlite" and in_a_file)):
        raise ValueError(
            "expected a URL such as sqlite:///payments.db or postgresql+psycopg://user@host/name"
        )
    return value


#: An amount of UCRED in the file ("1", "0.5", 2), and wei in the program.
Ucred = Annotated[int, BeforeValidator(_amount)]
SomeUcred = Annotated[Ucred, AfterValidator(_more_than_nothing)]
BegunDay = Annotated[date, AfterValidator(_begun)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Count = Annotated[int, Field(gt=0, strict=True)]
Seconds = Annotated[int, Field(gt=0, strict=True)]
Percent = Annotated[float, Field(gt=0, le=100)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reward(_Section):
    """What one type of purchase earns, from the beginning or for payments created since a UTC day."""

    type: PurchaseType
    ucred: Ucred
    since: date | None = None
    needs_certificate: bool = True


class Purchases(_Section):
    """How purchases are told apart, and when one is due."""

    first_day: BegunDay = date(2024, 1, 1)
    grace_s: Seconds = 1800
    minted_ucred: SomeUcred = ucred_to_wei(1)
    friends_and_family_keys: tuple[str, ...] = ("ff_code", "genesis_founder")


class Limits(_Section):
    """What a run may send by itself; a plan over a limit waits for an approval."""

    corrections_per_run: Count = 100
    ucred_per_run: SomeUcred = ucred_to_wei(200)
    ucred_per_day: SomeUcred = ucred_to_wei(500)
    lacking_percent: Percent = 25
    lacking_percent_from_purchases: Count = 20
    lacking_percent_days: Count = 35
    approval_hours: Count = 24


class Stripe(_Section):
    """How Stripe is read."""

    requests_per_second: Annotated[float, Field(gt=0, le=100)] = 20
    workers: Annotated[int, Field(gt=0, le=10, strict=True)] = 10
    timeout_s: Seconds = 30
    attempts: Count = 5
    events_overlap_s: Seconds = 600
    sweep_hours: Count = 24
    sweep_days: Count = 35


class Indexer(_Section):
    """How the indexer is read and credited."""

    reviewed_builds: tuple[str, ...] = ("rust-l1-indexer 0.1.0",)
    requests_per_minute: Count | None = None
    credits_per_minute: Count | None = None
    connections: Count = 32
    timeout_s: Seconds = 10
    attempts: Count = 4
    balance_sweep_hours: Count = 24
    credit_timeout_s: Seconds = 120
    send_deadline_s: Seconds = 20
    quiescence_s: Seconds = 900
    clock_skew_s: Seconds = 30
    parallel_accounts: Count = 8
    answers_429_before_the_effect: bool = False
    allow_insecure_token: bool = False
    allow_plain_http: bool = False


class Evidence(_Section):
    """What may happen on the ledger besides us, which decides what a balance proves."""

    other_writers: bool = True
    debits_possible: bool = False


class AnchorKind(StrEnum):
    """By what it is known whether the indexer still remembers."""

    RECEIPTS = "receipts"
    ACCOUNT = "account"


class Corrections(_Section):
    """When a correction is tried again, when the run stops, and when a person is asked."""

    anchor: AnchorKind = AnchorKind.RECEIPTS
    evidence_age_s: Seconds = 3600
    backoff_s: Seconds = 60
    backoff_longest_s: Seconds = 21600
    attempts: Count = 8
    quarantine_after_s: Seconds = 86400
    breaker_doubts: Count = 3
    breaker_openings: Count = 3


class Thresholds(_Section):
    """Where the checks and the alerts turn; charts and the rules of other systems use the same."""

    mint_success_percent: Percent = 95
    mint_success_window_hours: Count = 168
    mint_success_from_purchases: Count = 20
    mint_latency_s: Annotated[float, Field(gt=0)] = 2
    retry_queue: Count = 10
    doubt_age_s: Seconds = 86400
    missing_purchases: Annotated[int, Field(ge=0, strict=True)] = 0
    missing_age_s: Seconds = 86400
    stale_s: Seconds = 2700
    failed_runs: Annotated[int, Field(ge=0, strict=True)] = 0
    failed_runs_window_hours: Count = 1
    route_backlog_s: Seconds = 900

    @property
    def by_key(self) -> Mapping[str, float]:
        """The limits by their keys, as the rules of the domain name them."""
        return self.model_dump()


class Alerts(_Section):
    """How alerts are sent, and how often they remind."""

    reminder_critical_s: Seconds = 3600
    reminder_warning_s: Seconds = 21600
    reminder_info_s: Seconds = 86400
    flood_cap: Count = 20
    timeout_s: Annotated[int, Field(gt=0, le=15, strict=True)] = 10


class Housekeeping(_Section):
    """How long what proves no credit is kept: in the ledger, and in Dagster's own history."""

    keep_days: Annotated[int, Field(ge=90)] = 400
    keep_dagster_days: Annotated[int, Field(ge=60)] = 90


class Serve(_Section):
    """What the page links to."""

    dagster_url: HttpUrl = "http://127.0.0.1:3000"


_STANDARD_REWARDS = tuple(Reward(type=kind, ucred=1) for kind in PurchaseType)


class Rules(_Section):
    """The whole of `ucred.toml`."""

    purchases: Purchases = Purchases()
    rewards: tuple[Reward, ...] = _STANDARD_REWARDS
    limits: Limits = Limits()
    stripe: Stripe = Stripe()
    indexer: Indexer = Indexer()
    evidence: Evidence = Evidence()
    corrections: Corrections = Corrections()
    thresholds: Thresholds = Thresholds()
    serve: Serve = Serve()
    housekeeping: Housekeeping = Housekeeping()
    alerts: Alerts = Alerts()

    @model_validator(mode="after")
    def _grace_outlasts_a_late_mint(self) -> Self:
        least = PAYMENTS_API_TIMEOUT_S + self.indexer.quiescence_s
        if self.purchases.grace_s < least:
            raise ValueError(
                f"purchases.grace_s must be at least {least}: the payments API's time-out of "
                f"{PAYMENTS_API_TIMEOUT_S} s plus indexer.quiescence_s"
            )
        return self

    @field_validator("rewards")
    @classmethod
    def _rewards_leave_no_gap(cls, rewards: tuple[Reward, ...]) -> tuple[Reward, ...]:
        _table(rewards)
        return rewards

    @property
    def grace(self) -> timedelta:
        """How long after its certificate a purchase may still be credited by the payments API."""
        return timedelta(seconds=self.purchases.grace_s)

    def reward_table(self) -> RewardTable:
        """The rewards as the domain's rules."""
        return self._reward_table

    @cached_property
    def _reward_table(self) -> RewardTable:
        return _table(self.rewards)


def _table(rewards: Iterable[Reward]) -> RewardTable:
    return RewardTable(
        tuple(
            RewardRule(
                purchase_type=reward.type,
                wei=reward.ucred,
                since=reward.since,
                needs_certificate=reward.needs_certificate,
            )
            for reward in rewards
        )
    )


class Environment(_Section):
    """Where things are, and the secrets; a command asks for those that it needs."""

    stripe_api_key: SecretStr | None = None
    stripe_api_base: HttpUrl = STRIPE
    payments_database_url: DatabaseUrl | None = None
    rust_l1_indexer: HttpUrl | None = None
    rust_l1_admin_token: SecretStr | None = None
    ucred_database_url: DatabaseUrl
    ucred_indexer_log: str | None = None
    ucred_payments_log: str | None = None
    ucred_serve_token: SecretStr | None = None
    ucred_alert_urls: SecretStr | None = None


class Settings(_Section):
    """Everything that the pipeline was told, validated once."""

    environment: Environment
    rules: Rules = Rules()

    @property
    def ledger_url(self) -> str:
        """The SQLAlchemy URL of the pipeline's own database."""
        return self.environment.ucred_database_url.get_secret_value()

    def require(self, name: str) -> str:
        """Give the variable `name`, or say that this command cannot do without it."""
        value = getattr(self.environment, name.lower())
        if value is None:
            raise SettingsError(f"{name} is not set. Set it in the environment or in .env.")
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    def refuse_unsafe_crediting(self) -> None:
        """Refuse a token or a connection that anybody could use or overhear."""
        token, address = self.require("RUST_L1_ADMIN_TOKEN"), self.require("RUST_L1_INDEXER")
        if token == INSECURE_TOKEN and not self.rules.indexer.allow_insecure_token:
            raise SettingsError(
                "RUST_L1_ADMIN_TOKEN is the indexer's insecure default, which anybody knows. "
                "Set a token of your own, or indexer.allow_insecure_token = true in ucred.toml for a test."
            )
        if not (self.rules.indexer.allow_plain_http or _is_private_or_encrypted(address)):
            raise SettingsError(
                "RUST_L1_INDEXER is plain http:// to a public address, so the token could be overheard. "
                "Use https://, or indexer.allow_plain_http = true in ucred.toml."
            )


def _is_private_or_encrypted(address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        found = ip_address(parts.hostname or "")
    except ValueError:
        return False
    return found.is_loopback or found.is_private


def data_folder() -> Path:
    """The user's one fixed place for the ledger and Dagster's history."""
    return Path(platformdirs.user_data_dir(APPLICATION, appauthor=False))


def default_ledger_url() -> str:
    """The ledger where none is named: never by the working directory, for two ledgers are two memories."""
    path = (data_folder() / "ledger.db").as_posix()
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"


def load_settings(env_file: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment, `.env` (or `env_file`, which then wins over the environment) and `ucred.toml`.

    Raises SettingsError, which names the key and what is allowed.
    """
    if env_file is not None and not env_file.is_file():
        raise SettingsError(f"the file {env_file} is not there")
    found = dotenv_values(env_file or ".env", interpolate=False)
    in_file = {name: value for name, value in found.items() if value}
    merged = {**environ, **in_file} if env_file else {**in_file, **environ}
    return Settings(environment=_environment(merged), rules=load_rules(merged.get("UCRED_CONFIG")))


def _environment(variables: Mapping[str, str]) -> Environment:
    names = Environment.model_fields
    given = {name: variables[name.upper()] for name in names if variables.get(name.upper())}
    given.setdefault("ucred_database_url", default_ledger_url())
    try:
        return Environment.model_validate(given)
    except ValidationError as error:
        raise SettingsError(_told(error, upper=True)) from None


def load_rules(named: str | None) -> Rules:
    """Read `ucred.toml`: the file that was named, or the one in the working directory if there is one."""
    path = Path(named or "ucred.toml")
    if not path.is_file():
        if named:
            raise SettingsError(f"UCRED_CONFIG names {path}, which is not there, or is no file")
        if path.exists() or path.is_symlink():
            raise SettingsError(f"{path} is no file: put the file there, or remove it for the defaults")
        return Rules()
    try:
        return Rules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: {_told(error)}") from None


def _told(error: ValidationError, *, upper: bool = False) -> str:
    """Say for each key what is wrong with it, without its value, which may be a secret."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        key = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key; docs/settings.md lists all that there are"
        lines.append(f"{key.upper() if upper else key}: {message}" if key else message)
    return "; ".join(lines)
