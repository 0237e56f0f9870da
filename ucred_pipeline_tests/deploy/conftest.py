"""What the tests of the deployment's files share: the programs of Prometheus, and the limits in force."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from ucred_pipeline.settings import Rules, load_rules
from ucred_pipeline_tests.conftest import missing

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that checks files."""

    path: str

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run it to its end; what it writes anywhere is in its standard output."""
        told = [self.path, *map(str, arguments)]
        environ = os.environ | {"GOGC": "400"}  # a third of its time goes into garbage
        return subprocess.run(
            told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
            env=environ,
        )

    def accepts(self, *arguments: str | Path) -> str:
        """Run it, and see that it ends well; give what it wrote."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stdout
        return ended.stdout


def program(*names: str) -> Program:
    """Find a program by one of its names."""
    found = next(filter(None, map(shutil.which, names)), None)
    return Program(found) if found else missing(f"{names[0]} is not installed")


@pytest.fixture(scope="session")
def promtool() -> Program:
    """Prometheus' own checker."""
    return program("promtool")


@pytest.fixture(scope="session")
def amtool() -> Program:
    """Alertmanager's own checker."""
    return program("amtool")


@pytest.fixture(scope="session")
def settings() -> Rules:
    """The limits that the files have: those of the repository's `ucred.toml`."""
    return load_rules(str(ROOT / "ucred.toml"))
