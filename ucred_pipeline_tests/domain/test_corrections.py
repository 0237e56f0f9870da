"""The states of corrections and attempts, as the rules tell them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from ucred_pipeline.domain.corrections import (
    ACTIVE,
    ATTEMPT_TRANSITIONS,
    CORRECTION_TRANSITIONS,
    LIVE_ATTEMPT,
    WITHDRAWN,
    AttemptState,
    CorrectionState,
)

_C, _A = CorrectionState, AttemptState


def reachable(transitions: Mapping[Any, frozenset[Any]], start: StrEnum) -> set[StrEnum]:
    """Every state that can follow, in however many steps."""
    found: set[StrEnum] = set()
    waiting = {start}
    while waiting:
        state = waiting.pop()
        waiting |= transitions[state] - found
        found |= transitions[state]
    return found


def test_every_state_has_its_rule() -> None:
    """No state is forgotten, and every one can be reached."""
    assert set(CorrectionState) == set(CORRECTION_TRANSITIONS)
    assert set(AttemptState) == set(ATTEMPT_TRANSITIONS)
    assert set(CorrectionState) == reachable(CORRECTION_TRANSITIONS, _C.PLANNED) | {_C.PLANNED}
    assert set(AttemptState) == reachable(ATTEMPT_TRANSITIONS, _A.SENDING) | {_A.SENDING}


@pytest.mark.parametrize("ended", [_C.CONFIRMED, _C.EPOCH_CLOSED])
def test_what_has_ended_is_never_sent_again(ended: CorrectionState) -> None:
    """From a confirmed or closed correction no way leads to sending."""
    assert _C.SENDING not in reachable(CORRECTION_TRANSITIONS, ended)


def test_sending_is_left_to_known_ends_only() -> None:
    """From sending there is no way back to a claim, and a doubt is planned again only by being settled."""
    assert _C.CLAIMED not in CORRECTION_TRANSITIONS[_C.SENDING]
    assert [state for state in CorrectionState if _C.SENDING in CORRECTION_TRANSITIONS[state]] == [_C.CLAIMED]
    assert _C.SENDING not in CORRECTION_TRANSITIONS[_C.IN_DOUBT] | CORRECTION_TRANSITIONS[_C.QUARANTINED]


def test_no_attempt_becomes_unsent() -> None:
    """Nothing leads back to sending, and what was applied stays so within its epoch."""
    assert all(_A.SENDING not in after for after in ATTEMPT_TRANSITIONS.values())
    assert {_A.MOOT} == ATTEMPT_TRANSITIONS[_A.APPLIED]


def test_what_may_have_had_an_effect_blocks() -> None:
    """Every state in which a request may still be out is active, and its attempt is live."""
    assert {_C.CLAIMED, _C.SENDING, _C.IN_DOUBT, _C.QUARANTINED} == ACTIVE
    assert {_A.SENDING, _A.IN_DOUBT, _A.APPLIED} == LIVE_ATTEMPT
    assert not ACTIVE & WITHDRAWN


@pytest.mark.parametrize("states", [CORRECTION_TRANSITIONS, ATTEMPT_TRANSITIONS])
def test_nobody_changes_the_rules(states: Any) -> None:
    """The tables cannot be written to."""
    with pytest.raises(TypeError):
        states[next(iter(states))] = frozenset()
