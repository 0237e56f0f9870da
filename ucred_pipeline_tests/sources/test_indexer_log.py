"""The indexer's log is read whole: each credit once, in order, with every reading of a hostile line."""

import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ucred_pipeline.domain.evidence import CreditLine
from ucred_pipeline.domain.money import MAX_WEI, WEI_PER_UCRED
from ucred_pipeline.domain.replay import replay
from ucred_pipeline.domain.state_root import GENESIS, state_root
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.indexer_log import CreditLog, read_indexer_log

ROOT = "0123456789abcdef" * 4
ALICE = "acct:user:alice@example.com"
STAMP = "2026-01-21T17:46:{:02d}.123456Z"
FIELD = "\x1b[3maccount\x1b[0m\x1b[2m=\x1b[0m"
BLUE = "\x1b[2m{}\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2mrust_l1_indexer\x1b[0m\x1b[2m:\x1b[0m {}"

hostile = st.lists(
    st.text(st.characters(exclude_characters="\n\r\0\x1b", exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(
        [
            " amount_wei=1 memo=",
            " memo=",
            "=",
            " account=",
            " new_balance_wei=5",
            f" state_root={ROOT}",
            " Admin credit: asset=UCRED account=acct:user:eve@example.com amount_wei=1 memo=purchase:1.x",
            "2026-01-21T17:46:00Z  INFO rust_l1_indexer: ",
            '"',
            "\u2028",
            "\x85",
        ]
    ),
    max_size=5,
).map("".join)


def message(
    account: str = ALICE,
    memo: str = "purchase:123.x",
    amount: int = WEI_PER_UCRED,
    balance: int = WEI_PER_UCRED,
    root: str = ROOT,
) -> str:
    """What the indexer says of a credit."""
    return (
        f"Admin credit: asset=UCRED account={account} amount_wei={amount} memo={memo} "
        f"new_balance_wei={balance} state_root={root}"
    )


def line(second: int = 0, text: str | None = None) -> str:
    """A line of the log in the default format, without colours."""
    return f"{STAMP.format(second)}  INFO rust_l1_indexer: {text or message()}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The path of a log, with a space in it."""
    return tmp_path / "indexer log.txt"


def read(path: Path, text: str | bytes) -> CreditLog:
    """Write a log and read it."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_indexer_log(str(path))


def test_a_credit_has_all_its_parts(log: Path) -> None:
    """Time, asset, account, amounts, memo, root and the raw line come out of a line."""
    raw = line()

    assert read(log, raw + "\n") == CreditLog(
        [
            CreditLine(
                at=datetime(2026, 1, 21, 17, 46, 0, 123456, tzinfo=UTC),
                asset="UCRED",
                account=ALICE,
                amount_wei=WEI_PER_UCRED,
                memo="purchase:123.x",
                new_balance_wei=WEI_PER_UCRED,
                state_root=ROOT,
                raw=raw,
            )
        ],
        damaged=0,
    )


@pytest.mark.parametrize(
    "text",
    [
        BLUE.format(STAMP.format(0), message()) + "\n",
        BLUE.format(STAMP.format(0), message().replace("account=", FIELD)) + "\n",
        line() + "\r\n",
        line(),
        "indexer-1  | " + line() + "\n",
        "\0" * 4096 + line() + "\n",
        "\ufeff" + line() + "\n",
    ],
    ids=["colours", "coloured fields", "crlf", "no newline", "prefix", "truncated under its writer", "bom"],
)
def test_the_ways_a_log_is_written_make_no_difference(log: Path, text: str) -> None:
    """Colour codes, line ends, prefixes and marks around a line leave its content as it is."""
    [credit] = read(log, text).lines

    assert (credit.account, credit.memo, credit.state_root) == (ALICE, "purchase:123.x", ROOT)
    assert "\x1b" not in credit.raw


def test_powershell_and_logrotate_change_the_encoding_only(log: Path) -> None:
    """A redirected log in UTF-16 and a compressed one read like the plain one."""
    plain = read(log, line(text=message(account="acct:user:jürgen@example.com")) + "\n")

    assert plain == read(log, (log.read_text("utf-8")).encode("utf-16"))
    assert plain == read(log, gzip.compress(log.read_bytes()))
    assert plain.lines[0].account == "acct:user:jürgen@example.com"


def test_other_lines_are_skipped(log: Path) -> None:
    """Only credits matter; a refused token is none."""
    others = ["listening on 0.0.0.0:8089", "Admin credit rejected: invalid token", "}"]

    assert CreditLog([], 0) == read(log, "".join(line(text=other) + "\n" for other in others))


def test_a_line_that_is_being_written_is_no_credit_yet(log: Path) -> None:
    """Wherever the writer stopped, a part of a line is neither a credit nor a damage."""
    whole = line(1)

    for cut in range(1, len(whole)):
        told = read(log, f"{line()}\n{whole[:cut]}")
        assert (len(told.lines), told.damaged) == (1, 0)


@pytest.mark.parametrize(
    "text",
    [
        message().replace(ROOT, ROOT[:-1]),
        message().replace(ROOT, ROOT.upper()),
        message().replace(ROOT, ROOT + "0"),
        message(amount=0),
        message(amount=2, balance=1),
        message(balance=MAX_WEI + 1),
        message().replace(" memo=", " "),
        message().replace("new_balance_wei=1", "new_balance_wei=x"),
        message().replace("account=", ""),
    ],
)
def test_a_whole_line_that_is_no_possible_credit_is_counted_as_damaged(log: Path, text: str) -> None:
    """A credit that cannot be read is not dropped in silence."""
    assert CreditLog([], 1) == read(log, line(text=text) + "\n")


def test_a_credit_without_a_time_is_damaged(log: Path) -> None:
    """A credit of which nobody can say when it was is not taken."""
    for head in ("", "2026-99-99T00:00:00Z INFO "):
        assert CreditLog([], 1) == read(log, head + message() + "\n")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_a_customers_own_time_does_not_stop_the_read(log: Path, moment: str) -> None:
    """A time that is none, in a namespace that looks like a line, is one reading less and no fault."""
    namespace = f"x {moment} Admin credit: asset="
    (credit,) = read(log, line(0, message(memo=f"purchase:{namespace}"))).lines

    assert credit.memo == f"purchase:{namespace}"
    assert credit.alternatives == ()


def test_a_line_with_a_hole_is_damaged(log: Path) -> None:
    """Zeros amid a line, as a power cut leaves them, are no part of an account."""
    assert read(log, line(0, message(account=ALICE + "\0\0")) + "\n") == CreditLog([], 1)


def test_an_address_does_not_reorder_the_files(tmp_path: Path) -> None:
    """Rotated files go by the time at the head of their first line, whatever an address there says."""
    (tmp_path / "log.1").write_text(line(1))
    (tmp_path / "log.2").write_text(line(2, message(account='acct:user:"2020-01-01T00:00:00Z"@x.com')))

    found = read_indexer_log(str(tmp_path / "log.*")).lines
    assert [credit.at.second for credit in found] == [1, 2]


def test_bytes_that_are_no_text_do_not_stop_the_read(log: Path) -> None:
    """A line damaged on the way costs that line's account at most."""
    damaged = line().encode().replace(b"alice", b"al\xffce")

    told = read(log, damaged + b"\n" + line(1).encode())

    assert [credit.account for credit in told.lines] == ["acct:user:al\ufffdce@example.com", ALICE]


def test_rotated_files_are_read_in_the_order_of_their_times_and_each_line_once(tmp_path: Path) -> None:
    """Neither the names of rotated files nor lines that two of them have change the history."""
    older = [line(text="start"), *map(line, (1, 2, 3)), line(4)[:90]]
    (tmp_path / "b.log").write_text("\n".join(older))
    (tmp_path / "a.log").write_text("\n".join(["", *map(line, (3, 4, 5)), ""]))
    (tmp_path / "empty.log").touch()
    (tmp_path / "directory.log").mkdir()

    told = read_indexer_log(str(tmp_path / "*.log"))

    assert [credit.at.second for credit in told.lines] == [1, 2, 3, 4, 5]
    assert told.damaged == 0


def test_a_file_whose_name_looks_like_a_glob_is_read(tmp_path: Path) -> None:
    """A path that exists is taken as it is."""
    path = tmp_path / "log [1].txt"
    path.write_text(line() + "\n")

    assert len(read_indexer_log(str(path)).lines) == 1


@pytest.mark.parametrize("name", ["none.log", "*.log", ""])
def test_no_file_is_an_error_that_names_the_pattern(tmp_path: Path, name: str) -> None:
    """A log that is not there is unreadable, not empty."""
    with pytest.raises(SourceUnreadable, match="indexer log: no file matches") as caught:
        read_indexer_log(str(tmp_path / name))

    assert str(tmp_path) in caught.value.problem


def test_a_damaged_archive_is_an_error(log: Path) -> None:
    """What could not be read whole is not returned in part."""
    with pytest.raises(SourceUnreadable, match="cannot be read"):
        read(log, gzip.compress(line().encode() * 100)[:-20])


def test_a_line_torn_by_a_crash_and_continued_by_the_next_life_has_the_reading_of_that_one(log: Path) -> None:
    """A crash in the middle of a line does not hide the credit that was written behind it."""
    credited = {("UCRED", ALICE): WEI_PER_UCRED}
    root = state_root({**GENESIS, **credited})
    torn = line(text=message(account="acct:user:bob@example.com"))[:120]

    told = read(log, torn + line(5, message(root=root)) + "\n")

    assert [credit.account for credit in replay(told.lines, root).lines] == [ALICE]
    assert [credit.at.second for credit in replay(told.lines, root).lines] == [5]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile, hostile, st.integers(1, MAX_WEI))
@example(" amount_wei=1 memo=x", " amount_wei=1 memo=y", 1)
def test_the_truth_is_among_the_readings(log: Path, account: str, memo: str, amount: int) -> None:
    """No account or memo can hide what really happened."""
    told = read(log, line(text=message(account, memo, amount, MAX_WEI)) + "\n")

    [credit] = told.lines
    readings = [(each.account, each.memo, each.amount_wei) for each in (credit, *credit.alternatives)]
    assert (account, memo, amount) in readings
    assert told.damaged == 0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(hostile, hostile), min_size=1, max_size=5))
def test_the_roots_tell_the_truth_of_hostile_lines(
    log: Path, given_credits: Sequence[tuple[str, str]]
) -> None:
    """Replayed against the state, accounts and memos come out as they were given."""
    balances = dict(GENESIS)
    lines = []
    for second, (account, memo) in enumerate(given_credits):
        key = ("UCRED", account)
        balances[key] = balances.get(key, 0) + 2**second
        lines.append(line(second, message(account, memo, 2**second, balances[key], state_root(balances))))

    told = replay(read(log, "\n".join(lines) + "\n").lines, state_root(balances))

    assert told.complete
    assert given_credits == [(each.account, each.memo) for each in told.lines]
