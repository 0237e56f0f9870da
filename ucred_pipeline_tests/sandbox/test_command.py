"""`ucred sandbox`: its settings on standard output, and a clean end."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner
from dotenv import dotenv_values

from ucred_pipeline.sandbox.command import dotenv_line, sandbox

START = [sys.executable, "-c", "from ucred_pipeline.sandbox.command import sandbox; sandbox()"]


@contextmanager
def running(*arguments: str, settings: int = 7) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The command in a process of its own, and the settings that it printed."""
    process = subprocess.Popen(
        [*START, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        text = "".join(process.stdout.readline() for _ in range(settings))
        yield process, {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}
    finally:
        process.kill()
        process.communicate()


def test_settings_then_service_then_a_clean_end(tmp_path: Path) -> None:
    """The settings read back as a `.env` file, lead to living servers, and SIGTERM ends with 0."""
    folder = tmp_path / "with spaces"
    with running("--folder", str(folder), "--purchases", "0") as (process, settings):
        assert list(settings) == [
            "STRIPE_API_KEY",
            "STRIPE_API_BASE",
            "PAYMENTS_DATABASE_URL",
            "RUST_L1_INDEXER",
            "RUST_L1_ADMIN_TOKEN",
            "UCRED_INDEXER_LOG",
            "UCRED_PAYMENTS_LOG",
        ]
        assert Path(settings["UCRED_INDEXER_LOG"]).is_file()
        assert settings["PAYMENTS_DATABASE_URL"].endswith("/with spaces/payments.db")
        assert httpx.get(f"{settings['RUST_L1_INDEXER']}/health", trust_env=False).status_code == 200
        if os.name == "posix":
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=20)
            assert (process.returncode, rest) == (0, "")


def test_live_purchases(tmp_path: Path) -> None:
    """With `--live` somebody buys every so often."""
    arguments = ("--folder", str(tmp_path), "--purchases", "0", "--no-logs", "--live", "0.05")
    with running(*arguments, settings=5) as (_, settings):
        base, key = settings["STRIPE_API_BASE"], settings["STRIPE_API_KEY"]
        first = httpx.get(f"{base}/v1/payment_intents", auth=(key, ""), trust_env=False).json()["data"][0][
            "id"
        ]
        deadline = time.monotonic() + 10
        newest = first
        while newest == first and time.monotonic() < deadline:
            answer = httpx.get(f"{base}/v1/payment_intents", auth=(key, ""), trust_env=False)
            newest = answer.json()["data"][0]["id"]

        assert newest != first


def test_faults_by_option(tmp_path: Path) -> None:
    """Faults are there from the start."""
    faults = ("--fault", "stripe-forbid=refunds", "--fault", "indexer-build=9.9.9")
    with running("--folder", str(tmp_path), "--purchases", "0", *faults) as (_, settings):
        answer = httpx.get(
            f"{settings['STRIPE_API_BASE']}/v1/refunds",
            auth=(settings["STRIPE_API_KEY"], ""),
            trust_env=False,
        )
        assert answer.status_code == 403
        health = httpx.get(f"{settings['RUST_L1_INDEXER']}/health", trust_env=False).json()
        assert health["version"] == "9.9.9"


@pytest.mark.parametrize(
    "fault, said",
    [
        ("gremlins", "indexer-latency"),
        ("indexer-refuse=3", "takes no value"),
        ("indexer-latency=soon", "a number"),
        ("indexer-latency=-1", "a number"),
        ("stripe-forbid=payouts", "refunds"),
        ("indexer-drop-after@2", "between 0 and 1"),
    ],
)
def test_a_wrong_fault_is_wrong_usage(fault: str, said: str) -> None:
    """A wrong fault ends with 2 and says what is allowed, before anything is made."""
    result = CliRunner().invoke(sandbox, ["--fault", fault])

    assert result.exit_code == 2
    assert said in result.output


def test_help_lists_the_faults() -> None:
    """Each fault is explained."""
    result = CliRunner().invoke(sandbox, ["--help"])

    assert result.exit_code == 0
    assert "indexer-drop-after" in result.output
    assert isinstance(sandbox, click.Command)


@pytest.mark.parametrize("value", ["plain", "a b", "it's", "back\\slash", "a#b", "ü", "$HOME", "C:/x y/é"])
def test_settings_survive_a_file(value: str) -> None:
    """Whatever a setting holds is read back unchanged."""
    text = dotenv_line("NAME", value)

    assert dotenv_values(stream=io.StringIO(text), interpolate=True) == {"NAME": value}
