"""The figures of a campaign: kept as it goes, gone on from, and put together."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from ucred_pipeline_tests.simulation.figures import Figures, NotToBeMerged, merged, shown
from ucred_pipeline_tests.simulation.oracles import Wrong
from ucred_pipeline_tests.simulation.schedule import Outcome

_PLAYED: Final = Path(__file__).with_name("played.json")
_SAFETY: Final = Path(__file__).parents[2] / "docs" / "safety.md"


def _outcome(seed: int, *, wrong: Wrong | None = None) -> Outcome:
    return Outcome(
        seed, "logs" if seed % 2 else "balances",
        violations=[f"1.x is {wrong}"] if wrong else [], wrong=Counter([wrong] if wrong else []),
        faults=Counter(slow=2, pause=1), posts=3, effects=2, runs=5, by_person=1,
        ended=Counter(confirmed=2, quarantined=1, epoch_closed=4),
    )  # fmt: skip


def _kept(file: Path, seeds: range) -> Path:
    figures = Figures()
    for seed in seeds:
        figures.add(_outcome(seed))
    figures.save(file)
    return file


def _simulation(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ucred_pipeline_tests.simulation", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_figures_come_back_from_their_file(tmp_path: Path) -> None:
    """What is kept is what was counted: seeds, faults, profiles, failures."""
    figures = Figures()
    for seed in (0, 1, 2, 7):
        figures.add(_outcome(seed, wrong=Wrong.DOUBLE if seed == 7 else None))
    figures.save(tmp_path / "figures.json")

    again = Figures.load(tmp_path / "figures.json")

    assert again == figures
    assert again.seeds == [range(3), range(7, 8)]
    assert again.failed == {7: "1.x is credited twice by us"}
    assert list(again.missing(range(9))) == [3, 4, 5, 6, 8]


def test_figures_of_other_seeds_add_up(tmp_path: Path) -> None:
    """Sessions that played different seeds come to what one session would have."""
    parts = [_kept(tmp_path / "a", range(4, 9)), _kept(tmp_path / "b", range(4))]
    whole = Figures.load(_kept(tmp_path / "whole", range(9)))

    assert merged(parts) == whole
    assert whole.total.schedules == 9
    assert whole.total.faults == {"slow": 18, "pause": 9}
    assert (whole.total.corrections, whole.total.left) == (27, 18)


def test_a_seed_does_not_count_twice(tmp_path: Path) -> None:
    """Files that share seeds are refused, or a million would be fewer."""
    with pytest.raises(NotToBeMerged, match="seed 3 is counted twice"):
        merged([_kept(tmp_path / "a", range(5)), _kept(tmp_path / "b", range(3, 6))])


def test_the_tables_tell_what_went_wrong() -> None:
    """A double credit and a lost purchase stand in the line of their profile, and in that of all."""
    figures = Figures()
    for seed, wrong in ((0, Wrong.LOST), (1, Wrong.DOUBLE), (2, None), (3, Wrong.HELD)):
        figures.add(_outcome(seed, wrong=wrong))

    lines = list(shown(figures))

    assert "| `balances` | 2 | 6 | 4 | 0 | 1 | 0 | 6 | 4 (66.67%) |" in lines
    assert "| `logs` | 2 | 6 | 4 | 1 | 0 | 1 | 6 | 4 (66.67%) |" in lines
    assert "| all | 4 | 12 | 8 | 1 | 1 | 1 | 12 | 8 (66.67%) |" in lines
    assert "| `slow` | 8 |" in lines
    assert "Corrections ended: 16 epoch_closed, 8 confirmed, 4 quarantined." in lines


def test_the_tables_of_the_documents_are_those_of_the_campaign() -> None:
    """Each row of docs/safety.md is what the kept figures come to, and nothing of them went wrong."""
    figures = Figures.load(_PLAYED)
    rows = [line for line in shown(figures) if line.startswith("|")]

    told = _SAFETY.read_text(encoding="utf-8").splitlines()

    assert [row for row in rows if row not in told] == []
    assert figures.failed == {}
    assert figures.total.wrong.total() == 0


def test_a_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    """Asked again for more seeds, the command plays those that its file does not have."""
    file = str(tmp_path / "figures.json")

    first = _simulation("run", "--seeds", "3", "--start", "1", "--workers", "1", "--figures", file)
    second = _simulation("run", "--seeds", "5", "--workers", "1", "--figures", file)
    third = _simulation("figures", file)

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0)
    assert "2 of 2 schedules" in second.stderr
    assert Figures.load(Path(file)).seeds == [range(5)]
    assert "5 schedules (seeds 0 to 4)" in third.stdout


def test_figures_of_another_engine_are_left_alone(tmp_path: Path) -> None:
    """What was proved of the engine as it was says nothing of the engine as it is."""
    file = _kept(tmp_path / "figures.json", range(2))
    before = Figures.load(file)
    before.code = Counter(another=2)
    before.save(file)

    refused = _simulation("run", "--seeds", "4", "--figures", str(file))

    assert refused.returncode == 2
    assert "keep the figures of this one elsewhere" in refused.stdout
    assert Figures.load(file) == before
