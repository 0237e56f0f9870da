"""The model of the core protocol: spin looks at every interleaving, and each rule taken away is missed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ucred_pipeline_tests.conftest import missing

_MODEL = Path(__file__).with_name("credit.pml")
#: A search of millions of states is worth what it costs to compile it well.
_WHOLE = ("-O1",)
#: Whichever way is tried first, an error is one; trying the last process and step first finds each sooner.
_FIRST_ERROR = ("-O0", "-DREVERSE", "-DT_REVERSE")
_RULES = (
    "RETRY_IN_DOUBT",
    "NO_WRITE_AHEAD",
    "SILENT_TO_PLANNED",
    "NO_FENCE",
    "NO_DEADLINE",
    "NO_QUIESCENCE",
    "NO_GRACE",
    "NO_ANCHOR",
    "NO_HEARTBEAT",
    "ERROR_MEANS_FAILED",
    "EPOCH_BEFORE_QUIESCENCE",
)


def told(*command: str, where: Path) -> str:
    """Run a program; give what it says."""
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def searched(where: Path, *mutant: str) -> str:
    """Search the whole model, or a mutant of it; give what the search says."""
    if shutil.which("spin") is None:
        missing("spin is not installed")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        missing("there is no C compiler")
    shutil.copy(_MODEL, where / "credit.pml")
    told("spin", *(f"-D{name}" for name in mutant), "-a", "credit.pml", where=where)
    told(compiler, *(_FIRST_ERROR if mutant else _WHOLE), "-w", "-DSAFETY", "-o", "pan", "pan.c", where=where)
    return told("./pan", "-m10000", where=where)


def test_every_interleaving_keeps_the_rules(tmp_path: Path) -> None:
    """Two workers, network, sweeper, settler, operator: no double, no contradiction, nobody stuck."""
    said = searched(tmp_path)

    assert "errors: 0" in said
    assert "Search not completed" not in said
    assert "max search depth too small" not in said
    states = re.search(r"(\d+) states, stored", said)
    assert states is not None
    assert int(states[1]) > 1_000_000


@pytest.mark.parametrize("rule", _RULES)
def test_a_rule_taken_away_is_missed(tmp_path: Path, rule: str) -> None:
    """Without the rule some interleaving credits twice, contradicts itself, or leaves the credit stuck."""
    said = searched(tmp_path, rule)

    assert "errors: 1" in said
    assert "assertion violated" in said or "invalid end state" in said
    assert (tmp_path / "credit.pml.trail").is_file()
