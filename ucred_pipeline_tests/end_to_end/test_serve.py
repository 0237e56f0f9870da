"""`ucred serve` as a process of its own."""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

TOKEN = "sixteen letters!"


@contextmanager
def serving(world: Rehearsal, *arguments: str) -> Iterator[tuple[httpx.Client, "subprocess.Popen[str]"]]:
    """Start the command on a free port; give a client of it, and the process."""
    with world.spawn("serve", "--port", "0", *arguments) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+/", process.stdout.readline())
            assert found is not None, process.communicate(timeout=20)[1]
            with httpx.Client(base_url=found[0], trust_env=False, timeout=30) as client:
                yield client, process
        finally:
            process.kill()


def test_it_serves_what_a_run_left(plain: Rehearsal) -> None:
    """The page and the metrics of a ledger are those that its run left, and nothing of it changes."""
    document = plain.reconcile().document
    before = plain.told()
    with serving(plain) as (client, _):
        page, metrics = client.get("/").text, client.get("/metrics").text

    assert f"{document['breaks_open']} breaks are open" in page
    assert "ucred_exporter_database_up 1.0" in metrics
    assert f"ucred_missing_purchases {document['verdicts']['lacking']}.0" in metrics
    assert plain.secrets_in(metrics) == []
    assert plain.told() == before


def test_it_starts_before_there_is_a_ledger_and_sees_it_come(plain: Rehearsal) -> None:
    """Served before the first run, the page says that there is no ledger; after it, it shows the figures."""
    with serving(plain) as (client, _):
        before = client.get("/")
        plain.reconcile()
        after = client.get("/")

    assert (before.status_code, after.status_code) == (503, 200)
    assert "There is no ledger yet" in before.text


def test_others_may_look_with_a_token_only(plain: Rehearsal) -> None:
    """An address that others reach needs a token, a short one is refused, and a good one is asked for."""
    without = plain.ucred("serve", "--host", "0.0.0.0", "--port", "0")
    plain.variables["UCRED_SERVE_TOKEN"] = TOKEN[:-1]
    short = plain.ucred("serve", "--port", "0")
    plain.variables["UCRED_SERVE_TOKEN"] = " " * len(TOKEN)
    blank = plain.ucred("serve", "--port", "0")
    plain.variables["UCRED_SERVE_TOKEN"] = TOKEN
    plain.reconcile()
    with serving(plain, "--host", "0.0.0.0") as (client, _):
        port = client.base_url.port
        statuses = [
            httpx.get(f"http://127.0.0.1:{port}/metrics", headers=headers, trust_env=False).status_code
            for headers in ({}, {"authorization": f"Bearer {TOKEN}"})
        ]

    assert (without.code, short.code, blank.code) == (2, 2, 2)
    assert "set UCRED_SERVE_TOKEN to at least 16 characters" in without.err
    assert "UCRED_SERVE_TOKEN: a token has at least 16 characters" in short.err
    assert statuses == [401, 200]


def test_a_port_that_is_taken(plain: Rehearsal) -> None:
    """A port that another program has is named in one line, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = plain.ucred("serve", "--port", str(taken.getsockname()[1]))

    assert said.code == 2
    assert re.search(r"cannot listen on 127\.0\.0\.1, port \d+: .*; choose another", said.err)
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told_to(plain: Rehearsal, stop: signal.Signals) -> None:
    """Ctrl-C ends it at once, without a traceback, also while a client keeps its connection."""
    with serving(plain) as (client, process):
        client.get("/healthz")
        began = time.monotonic()
        process.send_signal(stop)
        _, err = process.communicate(timeout=20)

    assert time.monotonic() - began < 10
    assert "Traceback" not in err
