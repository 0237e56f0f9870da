"""The database itself refuses what the rules forbid, whoever writes: here, by plain SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import product
from typing import Any, Final, TypeVar

import pytest
from sqlalchemy import Connection, String, insert, select, text, type_coerce
from sqlalchemy.exc import IntegrityError, StatementError

from ucred_pipeline.domain.corrections import (
    ACTIVE,
    ATTEMPT_TRANSITIONS,
    CORRECTION_TRANSITIONS,
    LIVE_ATTEMPT,
    NO_CREDIT,
    AttemptState,
    Correction,
    CorrectionState,
)
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.money import MAX_WEI
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.schema import balances, decisions
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import A_SECOND, ACKNOWLEDGED, book_of, item, planned, sending

State = TypeVar("State", bound=StrEnum)
Transitions = Mapping[State, frozenset[State]]

_KEPT: Final = ("history", "attempts", "decisions", "corrections")
#: Beside the one correction there is, another one like it.
_ANOTHER_CORRECTION: Final = """
INSERT INTO corrections SELECT 'another', {payment_intent}, {kind}, epoch, namespace, account, amount,
'{state}', reason, plan, created, changed, owner, fence, due, failures FROM corrections
"""
#: After the one attempt there is, a second one of its correction.
_ANOTHER_ATTEMPT: Final = """
INSERT INTO attempts SELECT correction, number + 1, '{state}', run_id, owner, fence, account, amount, memo,
build, balance_before, root_before, account_quiet, witness, witness_wei, began, deadline, settles_after,
NULL, NULL, NULL, NULL, NULL, NULL FROM attempts
"""


def accepts(connection: Connection, *statements: str) -> bool:
    """Whether the database lets statements pass; whatever they did is undone."""
    savepoint = connection.begin_nested()
    try:
        for statement in statements:
            connection.execute(text(statement))
    except IntegrityError:
        return False
    finally:
        savepoint.rollback()
    return True


def shortest_ways(transitions: "Transitions[State]", start: State) -> dict[State, list[State]]:
    """Find for each state the legal steps that lead to it."""
    ways: dict[State, list[State]] = {start: []}
    waiting = [start]
    while waiting:
        before = waiting.pop(0)
        for after in sorted(transitions[before] - ways.keys()):
            ways[after] = [*ways[before], after]
            waiting.append(after)
    return ways


def accepted_pairs(
    connection: Connection, table: str, transitions: "Transitions[State]", start: State
) -> set[tuple[State, State]]:
    """Try every pair of states on the one row of a table."""
    ways = shortest_ways(transitions, start)
    return {
        (before, after)
        for before, after in product(transitions, repeat=2)
        if accepts(connection, *(f"UPDATE {table} SET state = '{step}'" for step in (*ways[before], after)))
    }


def allowed_pairs(transitions: "Transitions[State]") -> set[tuple[State, State]]:
    """List the changes that the rules allow; to stay is none."""
    stays = {(state, state) for state in transitions}
    return stays | {(before, after) for before, afters in transitions.items() for after in afters}


def test_a_correction_changes_as_the_rules_say(ledger: Ledger, clock: FakeClock) -> None:
    """Of all pairs of states, the database lets those pass that the domain's table has, and no other."""
    planned(ledger, book_of(ledger, clock), item(1))

    with ledger.write() as connection:
        accepted = accepted_pairs(connection, "corrections", CORRECTION_TRANSITIONS, CorrectionState.PLANNED)

    assert allowed_pairs(CORRECTION_TRANSITIONS) == accepted


def test_an_attempt_changes_as_the_rules_say(ledger: Ledger, clock: FakeClock) -> None:
    """Of all pairs of states, the database lets those pass that the domain's table has, and no other."""
    sending(ledger, book_of(ledger, clock), clock, item(1))

    with ledger.write() as connection:
        accepted = accepted_pairs(connection, "attempts", ATTEMPT_TRANSITIONS, AttemptState.SENDING)

    assert allowed_pairs(ATTEMPT_TRANSITIONS) == accepted


def moving(found: Correction, state: CorrectionState) -> list[str]:
    """Say how a planned correction gets into a state."""
    steps = shortest_ways(CORRECTION_TRANSITIONS, CorrectionState.PLANNED)[state]
    return [f"UPDATE corrections SET state = '{step}' WHERE id = '{found.id}'" for step in steps]


@pytest.fixture
def lived(ledger: Ledger, clock: FakeClock) -> Ledger:
    """A ledger with a confirmed correction, its attempt, history and a decision."""
    book = book_of(ledger, clock)
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    told = {"payment_intent": "pi_1", "epoch": 1, "decision": "credited", "actor": "ada", "reason": "seen"}
    with ledger.write() as connection:
        connection.execute(insert(decisions).values(**told, at=NOON))
    return ledger


def test_no_row_is_deleted(lived: Ledger) -> None:
    """What happened, was sent, was decided or was planned stays, whichever way it is asked to go."""
    ways = [f"DELETE FROM {table}" for table in _KEPT]
    if lived.dialect == "sqlite":
        ways += [f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}" for table in _KEPT]
    else:
        ways += [f"TRUNCATE {table} CASCADE" for table in (*_KEPT, "plans", "epochs")]

    with lived.write() as connection:
        assert [way for way in ways if accepts(connection, way)] == []


_SPOKEN: Final = (
    "UPDATE history SET detail = '{}'",
    "UPDATE history SET hash = previous",
    "UPDATE history SET actor = 'nobody' WHERE sequence = 1",
    "UPDATE decisions SET decision = 'not_credited'",
)
_MEANT: Final = (
    "account = 'acct:user:other@example.com'",
    "amount = '2'",
    "namespace = 'other.x'",
    "payment_intent = 'pi_2'",
    "kind = 'manual_credit'",
    "created = 0",
)
_SENT: Final = (
    "memo = 'purchase:1.x'",
    "amount = '2'",
    "account = 'acct:user:other@example.com'",
    "number = 2",
    "fence = 9",
    "balance_before = '7'",
    "root_before = ''",
    "deadline = 0",
    "settles_after = 0",
    "began = 0",
    "account_quiet = false",
)
_ANSWERED: Final = (
    "answer = 'never_sent'",
    "answer = NULL",
    "http_status = 500",
    "new_balance = '0'",
    "state_root = NULL",
    "finished = 0",
    "duration_us = 0",
)


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(_SPOKEN, id="history and decisions are only ever added to"),
        pytest.param([f"UPDATE corrections SET {one}" for one in _MEANT], id="what a correction is for"),
        pytest.param([f"UPDATE attempts SET {one}" for one in _SENT], id="what was known and sent"),
        pytest.param([f"UPDATE attempts SET {one}" for one in _ANSWERED], id="what came back"),
    ],
)
def test_nothing_is_rewritten(lived: Ledger, statements: Sequence[str]) -> None:
    """What was said, meant, sent and answered stays as it was written, column by column."""
    with lived.write() as connection:
        assert [one for one in statements if accepts(connection, one)] == []


def test_an_attempt_begins_as_sending(ledger: Ledger, clock: FakeClock) -> None:
    """Nobody can write down an attempt whose outcome is known before it was sent."""
    sending(ledger, book_of(ledger, clock), clock, item(1))

    with ledger.write() as connection:
        connection.execute(text("UPDATE attempts SET state = 'not_applied'"))
        begun = {state for state in AttemptState if accepts(connection, _ANOTHER_ATTEMPT.format(state=state))}

    assert {AttemptState.SENDING} == begun


def test_one_attempt_is_live(ledger: Ledger, clock: FakeClock) -> None:
    """Beside an attempt that had, or may have had, an effect there is no other of its correction."""
    sending(ledger, book_of(ledger, clock), clock, item(1))
    another = _ANOTHER_ATTEMPT.format(state="sending")

    with ledger.write() as connection:
        beside = {
            state
            for state, steps in shortest_ways(ATTEMPT_TRANSITIONS, AttemptState.SENDING).items()
            if accepts(connection, *(f"UPDATE attempts SET state = '{step}'" for step in steps), another)
        }

    assert set(AttemptState) - LIVE_ATTEMPT == beside


def test_a_correction_begins_as_planned(ledger: Ledger, clock: FakeClock) -> None:
    """Nobody can write down a correction that is already on its way."""
    planned(ledger, book_of(ledger, clock), item(1))
    another = partial(_ANOTHER_CORRECTION.format, payment_intent="'pi_2'", kind="kind")

    with ledger.write() as connection:
        begun = {state for state in CorrectionState if accepts(connection, another(state=state))}

    assert {CorrectionState.PLANNED} == begun


def test_one_correction_of_an_account_is_active(ledger: Ledger, clock: FakeClock) -> None:
    """While one correction of an account is under way or in doubt, another one cannot be claimed."""
    items = item(1), item(2, account=item(1).account)
    one, other = planned(ledger, book_of(ledger, clock), *items)
    claiming = f"UPDATE corrections SET state = 'claimed' WHERE id = '{other.id}'"

    with ledger.write() as connection:
        beside = {state for state in CorrectionState if accepts(connection, *moving(one, state), claiming)}

    assert set(CorrectionState) - ACTIVE == beside


def test_one_correction_of_a_purchase_and_epoch(ledger: Ledger, clock: FakeClock) -> None:
    """A second kind of credit for a purchase is let in only where the first ended without one."""
    one = planned(ledger, book_of(ledger, clock), item(1))[0]
    another = _ANOTHER_CORRECTION.format(
        payment_intent="payment_intent", kind=f"'{CorrectionKind.MANUAL}'", state="planned"
    )

    with ledger.write() as connection:
        beside = {state for state in CorrectionState if accepts(connection, *moving(one, state), another)}

    assert beside == NO_CREDIT


@pytest.mark.parametrize("wei", [0, 2**63, 2**64, 2**64 + 1, 10**38 + 1, MAX_WEI])
def test_amounts_are_exact(ledger: Ledger, wei: int) -> None:
    """An amount beyond 64 bits comes back to the wei, and lies there as plain digits."""
    with ledger.write() as connection:
        connection.execute(insert(balances).values(account="a", wei=wei, began=NOON))
        found = connection.execute(select(balances.c.wei)).scalar_one()
        digits = connection.execute(select(type_coerce(balances.c.wei, String))).scalar_one()

    assert (wei, str(wei)) == (found, digits)


@pytest.mark.parametrize("wei", [MAX_WEI + 1, -1, 1.0, True, "1"])
def test_what_the_indexer_could_not_hold_is_refused(ledger: Ledger, wei: Any) -> None:
    """An amount that is no unsigned 128-bit integer is not written."""
    with pytest.raises(StatementError), ledger.write() as connection:
        connection.execute(insert(balances).values(account="a", wei=wei, began=NOON))


def test_a_naive_time_is_refused(ledger: Ledger) -> None:
    """A time without an offset from UTC is not written."""
    naive = datetime(2026, 2, 3, 12)  # noqa: DTZ001 - naive on purpose
    with pytest.raises(StatementError), ledger.write() as connection:
        connection.execute(insert(balances).values(account="a", wei=1, began=naive))


def test_times_come_back_aware(ledger: Ledger) -> None:
    """A time comes back to the microsecond, in UTC."""
    began = NOON.replace(microsecond=123_457)
    with ledger.write() as connection:
        connection.execute(insert(balances).values(account="a", wei=1, began=began))
        assert began == connection.execute(select(balances.c.began)).scalar_one()
