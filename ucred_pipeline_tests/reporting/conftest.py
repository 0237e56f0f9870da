"""Worlds that were reconciled once, shared by tests that only read."""

from collections.abc import Iterator

import pytest

from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.reporting.worlds import World, reconciled


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The default sandbox after one run: every case, and one answer that was lost."""
    with reconciled(tmp_path_factory.mktemp("the default world"), SandboxSpec()) as found:
        yield found


@pytest.fixture(scope="session")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox without logs whose run lost two answers, which nothing settles yet."""
    spec = SandboxSpec(purchases=60, special_cases=False, lacking_share=0.1, logs=False, lost_answers=2)
    with reconciled(tmp_path_factory.mktemp("a doubtful world"), spec) as found:
        yield found


@pytest.fixture(scope="session")
def withheld(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox whose plan is over a limit."""
    spec = SandboxSpec(purchases=60, special_cases=False, lacking_share=0.1)
    rules = "[limits]\ncorrections_per_run = 2\n"
    with reconciled(tmp_path_factory.mktemp("a withheld world"), spec, rules=rules) as found:
        yield found
