"""The runbook names whatever can keep a credit back, and no command that is not there."""

import re
from pathlib import Path
from typing import Final

import click
import pytest

from ucred_pipeline.cli import cli
from ucred_pipeline.corrections.preflight import Gate
from ucred_pipeline.domain.limits import Excess
from ucred_pipeline.ledger.safety import HoldKind

DOCS: Final = Path(__file__).parents[1] / "docs"
RUNBOOK: Final = (DOCS / "runbook.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*HoldKind, *Gate, *Excess, "sources_stale", "another_sender"])
def test_whatever_keeps_a_credit_back_is_in_the_runbook(name: str) -> None:
    """Who reads the word in a run's end finds what to do about it."""
    assert f"`{name}`" in RUNBOOK


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_command_that_is_named_is_there(page: str) -> None:
    """The pages name commands of `ucred`, with options that these have."""
    text = (DOCS / page).read_text(encoding="utf-8")

    for told in re.findall(r"`ucred ([a-z][^`]*)`", text):
        name, *words = told.split()
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, told
        named = {word for word in words if word.startswith("--")}
        assert named <= options_of(command), told


def options_of(command: click.Command) -> set[str]:
    """The options of a command, and of those that belong to it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return {"--help"}.union(*(one.opts for one in command.params), *(options_of(each) for each in below))
