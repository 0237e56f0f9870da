"""How the command ends: its exit codes, and what went wrong in a line or two."""

from enum import IntEnum
from typing import Final

import click

from ucred_pipeline.cli.terminal import say
from ucred_pipeline.domain.runs import Outcome


class Exit(IntEnum):
    """What the exit code says."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    SOURCE = 3
    HELD = 4
    UNSETTLED = 5


_EXITS: Final = {
    Outcome.DONE: Exit.DONE,
    Outcome.FAULT: Exit.FAULT,
    Outcome.RUNNING: Exit.FAULT,
    Outcome.RETRIED: Exit.FAULT,
    Outcome.SETTINGS: Exit.USAGE,
    Outcome.SOURCE_UNREADABLE: Exit.SOURCE,
    Outcome.HELD: Exit.HELD,
    Outcome.UNSETTLED: Exit.UNSETTLED,
}


def exit_of(outcome: Outcome) -> Exit:
    """Give the code for how a run ended."""
    return _EXITS[outcome]


def tell_error(error: Exception) -> Exit:
    """Say what went wrong, and give the code for it."""
    text, code = _told(error)
    say(text)
    return code


def _told(error: Exception) -> tuple[str, Exit]:
    if isinstance(error, click.exceptions.Abort):
        return "stopped", Exit.FAULT
    if isinstance(error, click.UsageError):
        text = error.format_message().removesuffix(".")
        return f"{text}. See `{_command(error)} --help`", Exit.USAGE
    if isinstance(error, click.ClickException):
        return error.format_message(), Exit.USAGE
    from ucred_pipeline.corrections.resolving import CannotResolve  # noqa: PLC0415 - takes long, and is rare
    from ucred_pipeline.ledger.copying import CannotCopy  # noqa: PLC0415
    from ucred_pipeline.ledger.errors import TooEarly  # noqa: PLC0415
    from ucred_pipeline.orchestration.faults import outcome_of, told_without_secrets  # noqa: PLC0415
    from ucred_pipeline.orchestration.manual import CannotCredit  # noqa: PLC0415

    if isinstance(error, TooEarly | CannotCopy | CannotCredit | CannotResolve):
        return str(error), Exit.USAGE
    return told_without_secrets(error), exit_of(outcome_of(error))


def _command(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "ucred"
