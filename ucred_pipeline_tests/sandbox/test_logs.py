"""The two logs: tracing's format, and every root of the indexer's."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx

from ucred_pipeline.domain.state_root import GENESIS, state_root
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline_tests.sandbox.conftest import MovableClock
from ucred_pipeline_tests.sandbox.test_indexer import credit, root

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINE = re.compile(r"(?P<at>\S+Z) +(?P<level>INFO|WARN|ERROR) (?P<target>\w+): (?P<message>.*)", re.DOTALL)
CREDIT = re.compile(
    r"Admin credit: asset=(?P<asset>\S+) account=(?P<account>.*) amount_wei=(?P<amount>\d+) "
    r"memo=(?P<memo>.*) new_balance_wei=(?P<balance>\d+) state_root=(?P<root>[0-9a-f]{64})"
)


def messages(path: Path) -> Iterator[tuple[str, str, str]]:
    """Each line's time, level, and message, without colours."""
    for line in path.read_text(encoding="utf-8").splitlines():
        match = LINE.fullmatch(COLOUR.sub("", line))
        assert match is not None, line
        yield match["at"], match["level"], match["message"]


def test_lines_have_colours(default_world: Sandbox) -> None:
    """A line can be read only after its colour codes are stripped."""
    for name in ("indexer.log", "payments.log"):
        for line in (default_world.folder / name).read_text(encoding="utf-8").splitlines():
            assert LINE.fullmatch(line) is None


def test_the_log_replays_to_the_audited_root(default_world: Sandbox) -> None:
    """From genesis on, each line's balance and root follow, and the last root is `/audit`'s."""
    balances, last, times = dict(GENESIS), "", []
    for at, _, message in messages(default_world.folder / "indexer.log"):
        times.append(at)
        match = CREDIT.fullmatch(message)
        if match is None:
            continue
        key = (match["asset"], match["account"])
        balances[key] = balances.get(key, 0) + int(match["amount"])
        last = state_root(balances)
        assert (match["balance"], match["root"]) == (str(balances[key]), last)

    assert times == sorted(times)
    with httpx.Client(base_url=default_world.indexer_base, trust_env=False) as client:
        assert root(client) == last


def test_live_credits_and_refusals_are_logged(
    sandbox: Sandbox, indexer: httpx.Client, clock: MovableClock
) -> None:
    """A credit over HTTP leaves one line, a wrong token one as well, and a refused amount none."""
    path = sandbox.folder / "indexer.log"
    before = len(list(messages(path)))
    clock.move(timedelta(seconds=5))
    answer = credit(indexer, memo="correction:a b=c.x:1").json()
    credit(indexer, operator_token="wrong")
    credit(indexer, amount_wei="x")

    lines = list(messages(path))[before:]

    assert [line[:2] for line in lines] == [
        ("2026-02-03T12:00:05.250000Z", "INFO"),
        ("2026-02-03T12:00:05.250000Z", "WARN"),
    ]
    match = CREDIT.fullmatch(lines[0][2])
    assert match is not None
    assert (match["memo"], match["root"]) == ("correction:a b=c.x:1", answer["state_root"])
    assert lines[1][2] == "Admin credit rejected: invalid token"


def test_the_log_outlives_a_restart(sandbox: Sandbox) -> None:
    """A restart goes on in the same file."""
    path = sandbox.folder / "indexer.log"
    before = path.read_bytes()

    sandbox.restart_indexer()

    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) > len(before)


def test_the_payments_log_tells_each_kind_of_failure(default_world: Sandbox) -> None:
    """Each failure that leaves a line has the line of its build, and the silent ones have none."""
    truth = default_world.truth
    lines = [(level, message) for _, level, message in messages(default_world.folder / "payments.log")]
    text = [message for _, message in lines]
    credited, unheard = truth.of_case("credited")[0], truth.of_case("credited_unheard")[0]

    assert ("INFO", f"✅ Minted 1 UCRED for {credited.account} (namespace: {credited.namespace})") in lines
    assert any(
        message.startswith(f"Certificate issued successfully: namespace={credited.namespace}, ipfs_cid=Qm")
        for message in text
    )
    assert any(
        re.fullmatch(r"Failed to mint UCRED for acct:user:.+: HTTP 401 Unauthorized", row) for row in text
    )
    assert any(
        re.match(r"UCRED mint request failed(?: for acct:user:\S+)?: error sending", row) for row in text
    )
    assert not any(message.startswith("✅") and unheard.account in message for message in text)
    for case in ("lacking_unconfigured", "lacking_restarted", "lacking_reissued"):
        for purchase in truth.of_case(case):
            assert not any("mint" in row and f"namespace: {purchase.namespace}" in row for row in text)


def test_without_logs_there_are_no_files(tmp_path: Path) -> None:
    """Neither a file nor a setting that names one."""
    with Sandbox(SandboxSpec(purchases=0, logs=False), folder=tmp_path) as running:
        assert not list(running.folder.glob("*.log"))
        assert not {"UCRED_INDEXER_LOG", "UCRED_PAYMENTS_LOG"} & set(running.environment())
