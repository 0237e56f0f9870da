"""What the commands write on a terminal: tables, a line that something is wrong, and how far long work is."""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ucred_pipeline.cli.contents import MODULES

if TYPE_CHECKING:  # what reads the sources and judges takes most of a second to import, and rich a tenth
    from rich.console import Console, RenderableType

    from ucred_pipeline.orchestration.pipeline import Progress

_NAMED: Final = re.compile(rf"\bucred (?=(?:{'|'.join(MODULES)})\b)")


def show(told: "RenderableType", env_file: Path | None) -> None:
    """Print something whose commands can be typed as they stand."""
    out = _console()
    with out.capture() as captured:
        out.print(told)
    click.echo(typable(captured.get(), env_file), nl=False)


def typable(text: str, env_file: Path | None) -> str:
    """Write the commands in a text as this one was called, so that none acts on another ledger."""
    return _NAMED.sub(lambda _: f"{_program(env_file)} ", text)


def _program(env_file: Path | None) -> str:
    called = Path(sys.argv[0])
    on_path = shutil.which("ucred")
    is_found = on_path is not None and called.exists() and Path(on_path).samefile(called)
    name = "ucred" if is_found or called.stem != "ucred" else str(called)
    return f'{name} --env-file "{env_file}"' if env_file else name


def say(text: str) -> None:
    """Say on standard error what is wrong."""
    click.echo(f"ucred: {_printable(text)}", err=True)


def _printable(text: str) -> str:
    """Keep what a terminal would take for a command, which a name or a reason may hold, out of a line."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


@contextmanager
def progress(at_first: str = "...") -> Iterator["Progress"]:
    """Show how far long work is; whoever does it tells what is done, and how much of it."""
    with _console(stderr=True).status(at_first) as status:
        yield lambda step, count: status.update(f"{count:,} {step}")


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=stderr, highlight=False)
