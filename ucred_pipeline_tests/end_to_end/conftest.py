"""Rehearsals for the tests of the whole."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

#: Starts a rehearsal of the world that a spec asks for, with the text of its `ucred.toml`.
Rehearse = Callable[..., Rehearsal]


@pytest.fixture
def rehearse(tmp_path: Path) -> Iterator[Rehearse]:
    """Start rehearsals that end with the test."""
    with ExitStack() as stack:

        def start(rules: str = "", *, real_time: bool = False, **spec: object) -> Rehearsal:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            asked = SandboxSpec(**{"lost_answers": 0, **spec})  # type: ignore[arg-type]
            return stack.enter_context(Rehearsal(folder, asked, rules=rules, real_time=real_time))

        yield start


@pytest.fixture
def plain(rehearse: Rehearse) -> Rehearsal:
    """A small world in which everybody was credited, with logs."""
    return rehearse(purchases=40, lacking_share=0, special_cases=False)


@pytest.fixture
def blind(rehearse: Rehearse) -> Rehearsal:
    """The same without logs."""
    return rehearse(purchases=40, lacking_share=0, special_cases=False, logs=False)
