"""The simulation from the command line: many seeds, one again with its trace, the mutants, the figures."""

import argparse
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from ucred_pipeline_tests.simulation.campaign import play_all, shrink
from ucred_pipeline_tests.simulation.figures import Figures, NotToBeMerged, code_version, merged, shown
from ucred_pipeline_tests.simulation.mutants import MUTANTS, Mutant, caught_at
from ucred_pipeline_tests.simulation.profiles import PROFILES, harder, named, profile_of
from ucred_pipeline_tests.simulation.schedule import Case, Outcome, case_of, harder_case_of, play

_TELLS_EVERY_S: Final = 5.0
_HARDER: Final = "in more trouble: each fault many times as often as its profile says, or never"


def main() -> int:
    """Do what the command line asks; 1 where an oracle was violated, or a mutant not caught."""
    asked = _parser().parse_args()
    if asked.command == "replay":
        return _replay(asked)
    if asked.command == "mutants":
        return _mutants(asked.name)
    if asked.command == "figures":
        return _merge(asked.file)
    return _campaign(range(asked.start, asked.start + asked.seeds), asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ucred_pipeline_tests.simulation",
        description="Plays schedules of the real engine and ledger in a world where everything goes wrong.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="play many seeds over all cores; show progress and figures")
    run.add_argument("--seeds", type=int, default=2000, help="how many (default 2000)")
    run.add_argument("--start", type=int, default=0, help="the first seed (default 0)")
    run.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: cores)")
    kind = run.add_mutually_exclusive_group()
    kind.add_argument("--harder", action="store_true", help=_HARDER)
    kind.add_argument(
        "--figures",
        type=Path,
        help="keep the figures in this file, and go on from it if they are of the same code",
    )
    figures = commands.add_parser("figures", help="put the figures of several files together, as tables")
    figures.add_argument("file", type=Path, nargs="+")
    replay = commands.add_parser(
        "replay", help="play one seed again, with its trace; --shrink makes it small"
    )
    replay.add_argument("seed", type=int)
    replay.add_argument("--harder", action="store_true", help=_HARDER)
    replay.add_argument(
        "--profile", choices=[profile.name for profile in PROFILES], help="another than its own"
    )
    replay.add_argument(
        "--mutant", choices=[mutant.name for mutant in MUTANTS], help="with a rule switched off"
    )
    replay.add_argument("--purchases", type=int, help="so many purchases")
    replay.add_argument("--spared", default="", help="faults that do not happen, by their numbers: 1,5,7")
    replay.add_argument("--shrink", action="store_true", help="leave out what the failure does not need")
    mutants = commands.add_parser(
        "mutants", help="switch each rule off, and show at which seed it is noticed"
    )
    mutants.add_argument("name", nargs="*", help="only these")
    return parser


def _campaign(seeds: range, asked: argparse.Namespace) -> int:
    file: Path | None = asked.figures
    figures = Figures.load(file) if file and file.exists() else Figures()
    if figures.code.keys() - {code_version()}:
        _say(
            f"{file} is of an engine or a simulation as it was before; keep the figures of this one elsewhere"
        )
        return 2
    missing = list(figures.missing(seeds))
    try:
        _play(missing, asked, figures)
    finally:
        if file:
            figures.save(file)
    _show(figures, "--harder --shrink" if asked.harder else "--shrink")
    return 1 if figures.failed else 0


def _play(missing: list[int], asked: argparse.Namespace, figures: Figures) -> None:
    file: Path | None = asked.figures
    case = harder_case_of if asked.harder else case_of
    began = told = time.monotonic()
    for count, outcome in enumerate(play_all(missing, asked.workers, case), 1):
        figures.add(outcome)
        if outcome.violations:
            _say(f"\nseed {outcome.seed} ({outcome.profile}): {outcome.violations[0]}")
        if time.monotonic() - told > _TELLS_EVERY_S or count == len(missing):
            told = time.monotonic()
            _tell_progress(count, len(missing), told - began, len(figures.failed))
            if file:
                figures.save(file)


def _tell_progress(count: int, wanted: int, seconds: float, failed: int) -> None:
    rate = count / max(seconds, 0.001)
    line = f"{count:,} of {wanted:,} schedules, {rate:.0f}/s, {(wanted - count) / rate / 60:.0f} min left"
    line += f", {failed} failed"
    sys.stderr.write(f"\r{line}  " if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()


def _merge(files: list[Path]) -> int:
    try:
        figures = merged(files)
    except NotToBeMerged as refusal:
        _say(str(refusal))
        return 2
    _show(figures)
    return 1 if figures.failed else 0


def _show(figures: Figures, how: str = "--shrink") -> None:
    _say("\n".join(shown(figures)))
    for seed in sorted(figures.failed)[:20]:
        _say(f"replay with: python -m ucred_pipeline_tests.simulation replay {seed} {how}")


def _replay(asked: argparse.Namespace) -> int:
    spared = frozenset(int(number) for number in asked.spared.split(",") if number)
    mutant = next((found for found in MUTANTS if found.name == asked.mutant), None)
    profile = named(asked.profile) if asked.profile else mutant.profile if mutant else profile_of(asked.seed)
    if asked.harder:
        profile = harder(profile, asked.seed)
    case = replace(case_of(asked.seed), profile=profile, spared=spared, purchases=asked.purchases)
    with mutant.at_work() if mutant else nullcontext():
        if asked.shrink and play(case).violations:
            case = shrink(case)
        outcome = play(replace(case, traced=True))
    _tell_trace(case, outcome)
    return 1 if outcome.violations else 0


def _tell_trace(case: Case, outcome: Outcome) -> None:
    _say(f"seed {case.seed}, profile {case.profile.name}, faults {dict(outcome.faults)}")
    if case.purchases or case.spared:
        spared = ",".join(str(number) for number in sorted(case.spared))
        _say(f"smaller: --purchases {case.purchases or 'as drawn'} --spared {spared}")
    for line in outcome.trace:
        _say(line)
    _say("\n".join(outcome.violations) or "no oracle is violated")


def _mutants(names: list[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    missed = 0
    for mutant in chosen:
        missed += not _show_mutant(mutant)
    return 1 if missed else 0


def _show_mutant(mutant: Mutant) -> bool:
    seed, violation = caught_at(mutant)
    where = (
        f"at seed {seed}: {violation.splitlines()[0]}"
        if seed is not None
        else f"NOT within {mutant.seeds} seeds"
    )
    _say(f"{mutant.name:20} {mutant.rule:55} {where}")
    return seed is not None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
