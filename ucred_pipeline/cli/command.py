"""The command `ucred` itself: finds what is asked for, and runs it.

Exit codes: 0 done, 1 a fault of the pipeline, 2 wrong usage or settings, 3 a source could not be
read whole, 4 a hold, 5 done with corrections refused or in doubt.
"""

import sys
from importlib import import_module
from pathlib import Path

import click

from ucred_pipeline.cli.contents import MODULES
from ucred_pipeline.cli.exits import Exit, tell_error


class _Commands(click.Group):
    """The commands, each imported only when it is asked for."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Give one of them."""
        if cmd_name not in MODULES:
            return None
        found: click.Command = getattr(import_module(MODULES[cmd_name]), cmd_name)
        return found


@click.group(
    cls=_Commands,
    commands=[click.Command(name) for name in MODULES],  # by their names Click lists and suggests
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=__doc__.partition("\n\n")[2],
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Read the settings from this file of NAME=value lines, before the environment and .env.",
)
@click.version_option(package_name="ucred-pipeline")
@click.pass_context
def cli(context: click.Context, env_file: Path | None) -> None:
    """Find the purchases that never got their UCRED, and credit each of them once."""
    context.obj = env_file


def main() -> None:
    """Run the command; what goes wrong becomes a line or two and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(_run())


def _run() -> int:
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except Exception as error:  # noqa: BLE001 - nobody is shown a traceback, which could hold a secret
        return tell_error(error)
    return int(code or Exit.DONE)
