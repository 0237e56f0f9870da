"""The table of the commands: each is where it says, and is imported only when it is asked for."""

import subprocess
import sys
from typing import Final

import click
import pytest

from ucred_pipeline.cli import cli
from ucred_pipeline.cli.contents import MODULES

#: What takes a second to import, and no help needs.
SLOW: Final = {"dagster", "pandas", "stripe", "ucred_pipeline.orchestration", "ucred_pipeline.sources"}
HELP: Final = (
    "import sys; from ucred_pipeline import cli; sys.argv[1:] = ['--help']; cli.cli(standalone_mode=False); "
)


@pytest.mark.parametrize("name", MODULES)
def test_each_command_is_where_the_table_says(name: str) -> None:
    """A command is found under the name that it has."""
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.name == name


def test_the_help_waits_for_nothing() -> None:
    """The list of the commands, which needs a sentence of each, imports nothing that takes long."""
    run = [sys.executable, "-c", f"{HELP}print(*sys.modules)"]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout

    assert "Find the purchases" in said
    assert set(said.splitlines()[-1].split()) & SLOW == set()
