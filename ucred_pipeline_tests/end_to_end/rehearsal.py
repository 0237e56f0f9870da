"""A rehearsal: a whole outside world, a ledger, and the command `ucred` between them.

The command runs in this process, on the clock of the world, which stands still until a test lets time
pass; only Dagster's history is kept in memory. Where a process of its own is the point,
`spawn` starts the real one.
"""

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self
from unittest import mock

import dagster as dg
import httpx
from sqlalchemy import select, true

from ucred_pipeline import cli
from ucred_pipeline.domain.clock import Clock, SystemClock
from ucred_pipeline.domain.memos import read_memo
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.history import Entry
from ucred_pipeline.ledger.purchases import JudgedPurchase, find_purchases
from ucred_pipeline.ledger.schema import attempts, corrections, history
from ucred_pipeline.orchestration import opening
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline.sandbox.command import dotenv_line
from ucred_pipeline_tests.conftest import FakeClock
from ucred_pipeline_tests.end_to_end.thrift import empty_history, thrifty_ledgers

#: Limits that no world of a test reaches.
NO_LIMITS: Final = """
[limits]
corrections_per_run = 100000
ucred_per_run = "1000000"
ucred_per_day = "1000000"
lacking_percent = 100
"""
_QUARTER: Final = timedelta(minutes=15)
_EXECUTABLE: Final = Path(sys.executable).with_name("ucred.exe" if os.name == "nt" else "ucred")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """All that was written."""
        return self.out + self.err


class Rehearsal:
    """A world with a ledger of its own, in a folder with spaces and other letters in its name."""

    def __init__(
        self,
        folder: Path,
        spec: SandboxSpec,
        *,
        rules: str = "",
        real_time: bool = False,
    ) -> None:
        self.folder = folder / "Ärger mit Größe"
        self.folder.mkdir()
        self._standing = FakeClock()
        self.clock: Clock = SystemClock() if real_time else self._standing
        self.sandbox = Sandbox(spec, folder=self.folder / "the world", clock=self.clock)
        self.variables: dict[str, str] = {}
        self._kept = ExitStack()
        self.config = self.folder / "ucred.toml"
        self.config.write_text(rules, encoding="utf-8")

    def __enter__(self) -> Self:
        self.sandbox.start()
        self.variables = self.sandbox.environment() | {
            "UCRED_DATABASE_URL": f"sqlite:///{(self.folder / 'ledger.db').as_posix()}",
            "UCRED_CONFIG": str(self.config),
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()
        self.sandbox.close()

    @cached_property
    def history(self) -> dg.DagsterInstance:
        """Dagster's history of all runs in this process, in memory."""
        return self._kept.enter_context(empty_history())

    @property
    def env_file(self) -> Path:
        """The settings as the command is given them, written anew."""
        path = self.folder / "a test.env"
        lines = (dotenv_line(name, value) for name, value in self.variables.items())
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps what it must keep."""
        return self.folder / "dagster home"

    def later(self, by: timedelta = _QUARTER) -> None:
        """Let time pass for the world and for the pipeline."""
        self._standing.advance(by)

    def ucred(self, *arguments: str) -> Said:
        """Run the command in this process."""
        out, err = _stream(), _stream()
        with (
            mock.patch.object(sys, "argv", ["ucred", "--env-file", str(self.env_file), *arguments]),
            mock.patch.object(opening, "SystemClock", return_value=self.clock),
            mock.patch.object(dg.DagsterInstance, "from_config", return_value=nullcontext(self.history)),
            mock.patch.dict(os.environ, {"DAGSTER_HOME": str(self.dagster_home)}),
            thrifty_ledgers(),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = _code(cli.main)
        return Said(code, _written(out), _written(err))

    def reconcile(self, *arguments: str, apply: bool = True) -> Said:
        """Run the reconciliation once."""
        return self.ucred("reconcile", "--json", *(["--apply"] if apply else []), *arguments)

    def spawn(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Start the real command in a process of its own."""
        return subprocess.Popen(
            [str(_EXECUTABLE), "--env-file", str(self.env_file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ | {"DAGSTER_HOME": str(self.dagster_home)} | variables,
            cwd=self.folder,
        )

    def process(self, *arguments: str, **variables: str) -> Said:
        """Run the real command to its end."""
        with self.spawn(*arguments, **variables) as process:
            out, err = process.communicate(timeout=120)
        return Said(process.returncode, out, err)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open the ledger beside the command."""
        with thrifty_ledgers(), Ledger.open(self.variables["UCRED_DATABASE_URL"]) as ledger:
            yield ledger

    def judged(self) -> Mapping[str, JudgedPurchase]:
        """Every purchase as the ledger has it, by PaymentIntent."""
        with self.ledger() as ledger, ledger.read() as connection:
            return {found.payment_intent: found for found in find_purchases(connection, true())}

    def verdict(self, payment_intent: str) -> tuple[str | None, str | None]:
        """The verdict of a purchase, and its reason."""
        found = self.judged()[payment_intent]
        return found.verdict, found.reason

    def told(self) -> list[Entry]:
        """The whole history, oldest first."""
        with self.ledger() as ledger, ledger.read() as connection:
            rows = connection.execute(select(history).order_by(history.c.sequence)).all()
        return [Entry(row.at, row.actor, row.subject, row.event, json.loads(row.detail)) for row in rows]

    def corrections(self) -> Counter[str]:
        """How many corrections are in each state."""
        with self.ledger() as ledger, ledger.read() as connection:
            return Counter(connection.execute(select(corrections.c.state)).scalars())

    def attempts(self) -> Counter[str]:
        """How many attempts are in each state."""
        with self.ledger() as ledger, ledger.read() as connection:
            return Counter(connection.execute(select(attempts.c.state)).scalars())

    def sent(self) -> Counter[str]:
        """How often each namespace was credited over HTTP, whatever became of the answer."""
        return Counter(_namespace(credit.memo) for credit in self.sandbox.http_credits)

    def sent_to(self) -> Counter[str]:
        """Wei that each account was credited over HTTP."""
        wei: Counter[str] = Counter()
        for credit in self.sandbox.http_credits:
            wei[credit.account] += credit.amount_wei
        return wei

    def owed(self) -> Counter[str]:
        """What a right pipeline sends where it has the logs: each namespace once."""
        return Counter(truth.namespace or "" for truth in self.sandbox.truth.to_credit.values())

    def owed_on(self, days: Collection[str]) -> set[str]:
        """The namespaces that lack, or lacked, of payments created on some UTC days."""
        purchases = self.sandbox.world.purchases
        return {
            str(truth.namespace)
            for name, truth in self.sandbox.truth.to_credit.items()
            if f"{purchases[name].created.astimezone(UTC):%Y-%m-%d}" in days
        }

    def balance(self, account: str) -> int:
        """What the indexer says that an account holds, in wei."""
        answer = httpx.get(
            f"{self.sandbox.indexer_base}/balances",
            params={"account": account},
            trust_env=False,
            verify=False,  # it is http; to load the certificates takes longer than to ask
        )
        return sum(int(held["balance_wei"]) for held in answer.json())

    def secrets_in(self, text: str) -> list[str]:
        """The key, the token and the customers' addresses that a text holds: there must be none."""
        addresses = (name.removeprefix("acct:user:") for name in self.sandbox.truth.accounts)
        canaries = (self.sandbox.spec.key, self.sandbox.spec.token or "", *addresses)
        return [canary for canary in canaries if canary and canary in text]


def _namespace(memo: str) -> str:
    found = read_memo(memo)
    return found.namespace if found else memo


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def _code(main: Any) -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("the command ended without a code")
