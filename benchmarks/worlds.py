"""A sandbox in a process of its own, as the pipeline meets the outside."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

UCRED = (sys.executable, "-c", "from ucred_pipeline.cli import main; main()")
_LAST = "RUST_L1_ADMIN_TOKEN"


class Settings(dict[str, str]):
    """The settings that a sandbox prints, and the accounts that it has."""

    accounts: list[str]


@contextmanager
def running_sandbox(folder: Path, *options: str) -> Iterator[Settings]:
    """Start `ucred sandbox`, give its settings, and stop it at the end."""
    world = folder / "world"
    command = (*UCRED, "sandbox", "--folder", str(world), *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield _settings(process, world)
        finally:
            process.terminate()


def _settings(process: "subprocess.Popen[str]", world: Path) -> Settings:
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if line.startswith(_LAST):
            break
    told = dotenv_values(stream=StringIO("".join(lines)))
    settings = Settings({name: value for name, value in told.items() if value})
    truth = json.loads((world / "truth.json").read_text(encoding="utf-8"))
    settings.accounts = [entry["account"] for entry in truth["accounts"]]
    return settings
