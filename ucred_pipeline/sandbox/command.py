"""`ucred sandbox`: the sandbox alone, until it is stopped."""

import re
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Final

import click

from ucred_pipeline.sandbox.faults import FAULTS, Faults
from ucred_pipeline.sandbox.sandbox import Sandbox
from ucred_pipeline.sandbox.spec import SandboxSpec
from ucred_pipeline.sandbox.world import DATABASE

_BARE: Final = re.compile(r"[\w.:/@%+-]+", re.ASCII)
#: Of the live purchases every so many lacks its credit.
_LIVE_LACKING: Final = 4


def _fault_list() -> str:
    lines = [
        f"  {name}{'' if default is None else f'[={default}]'}\n      {meaning}"
        for name, (default, meaning) in FAULTS.items()
    ]
    return "\b\nFaults, each as NAME, NAME=VALUE, or NAME=VALUE@PROBABILITY:\n" + "\n".join(lines)


def _switch_on(faults: Faults, text: str) -> None:
    name, _, rest = text.partition("=")
    if not rest:
        name, _, chance = name.partition("@")
        value = ""
    else:
        value, _, chance = rest.partition("@")
    try:
        faults.set(name, value or None, probability=float(chance or 1))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from error


def dotenv_line(name: str, value: str) -> str:
    """Write a setting so that a `.env` file reads it back unchanged."""
    if _BARE.fullmatch(value):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


class _Stop:
    """Asks to stop when the process is told to."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None:
                signal.signal(number, self._asked)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; say whether to stop."""
        # Short waits, because on Windows a signal cannot end a long one.
        deadline = time.monotonic() + seconds
        while not self._event.is_set() and (left := deadline - time.monotonic()) > 0:
            self._event.wait(min(left, 0.25))
        return self._event.is_set()


def _live(sandbox: Sandbox, every: float | None, stop: _Stop) -> None:
    bought = 0
    while not stop.wait(every or 3600.0):
        if every is not None:
            bought += 1
            sandbox.purchase("credited" if bought % _LIVE_LACKING else "lacking_indexer_down")


@click.command("sandbox", epilog=_fault_list())
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same world.")
@click.option("--purchases", type=click.IntRange(0), default=200, show_default=True, help="Purchases in all.")
@click.option("--no-logs", is_flag=True, help="Neither service writes a log.")
@click.option(
    "--lacking-share",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="The share of ordinary purchases that lack their UCRED.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put the database and the logs.  [default: a new temporary folder]",
)
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME[=VALUE]", help="Switch a fault on; see below."
)
@click.option("--live", type=click.FloatRange(0.01), metavar="SECONDS", help="A new purchase every so often.")
def sandbox(  # noqa: PLR0913 - each is an option
    *,
    seed: int,
    purchases: int,
    no_logs: bool,
    lacking_share: float,
    folder: Path | None,
    faults: tuple[str, ...],
    live: float | None,
) -> None:
    """Serve a whole outside world on loopback, and print the settings that lead to it."""
    spec = SandboxSpec(seed=seed, purchases=purchases, lacking_share=lacking_share, logs=not no_logs)
    world = Sandbox(spec, folder=folder)
    for fault in faults:
        _switch_on(world.faults, fault)
    if folder is not None and (folder / DATABASE).exists():
        raise click.BadParameter("there is a world in it already; name another folder", param_hint="--folder")
    stop = _Stop()
    with world:
        for name, value in world.environment().items():
            click.echo(dotenv_line(name, value))
        click.echo(f"The truth is in {world.folder}. Ctrl-C stops the sandbox.", err=True)
        _live(world, live, stop)
