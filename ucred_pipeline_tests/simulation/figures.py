"""What many schedules came to: counted, kept in a file that a campaign goes on from, merged, and shown."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self, cast

import orjson

from ucred_pipeline_tests.simulation.oracles import Wrong
from ucred_pipeline_tests.simulation.schedule import Outcome, case_of, play

#: Where a correction stands that only a person takes further; a plan that waits for time does not count.
_LEFT_TO_A_PERSON: Final = ("in_doubt", "quarantined", "refused")
#: The modules whose code decides what a schedule comes to, where it has loaded them.
_PLAYING: Final = ("ucred_pipeline.", "ucred_pipeline_tests.")
_COLUMNS: Final = (
    "profile", "schedules", "sent", "took effect", "double", "lost", "other", "corrections",
    "left to a person",
)  # fmt: skip


class NotToBeMerged(Exception):
    """Two files count the same seeds."""


@dataclass(slots=True)
class Tally:
    """What the schedules of one profile, or of all, came to."""

    schedules: int = 0
    runs: int = 0
    posts: int = 0
    effects: int = 0
    crossed: int = 0
    by_person: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Count one schedule."""
        shared = {name: getattr(outcome, name) for name in cls.__dataclass_fields__ if name != "schedules"}
        return cls(schedules=1, **shared)

    def add(self, other: Self) -> None:
        """Count what another one counted."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def corrections(self) -> int:
        """How many corrections came to an end of their own; those of an epoch that was lost did not."""
        return sum(self.ended.values()) - self.ended["epoch_closed"]

    @property
    def left(self) -> int:
        """How many corrections a person settled, or has still to settle."""
        return self.by_person + sum(self.ended[state] for state in _LEFT_TO_A_PERSON)

    @property
    def unaided(self) -> float:
        """The share of corrections that needed no person, from 0 to 1."""
        return 1 - self.left / self.corrections if self.corrections else 1.0


@dataclass(slots=True)
class Figures:
    """The seeds that were played, by which code, what they came to by profile, and those that failed."""

    seeds: list[range] = field(default_factory=list)
    code: Counter[str] = field(default_factory=Counter)
    profiles: dict[str, Tally] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count a schedule."""
        self.seeds = _joined([*self.seeds, range(outcome.seed, outcome.seed + 1)])
        self.code[code_version()] += 1
        self.profiles.setdefault(outcome.profile, Tally()).add(Tally.of(outcome))
        if outcome.violations:
            self.failed[outcome.seed] = outcome.violations[0]

    def merge(self, other: Self) -> None:
        """Count what another campaign counted, of other seeds."""
        self.seeds = _joined([*self.seeds, *other.seeds])
        self.code += other.code
        self.failed |= other.failed
        for name, tally in other.profiles.items():
            self.profiles.setdefault(name, Tally()).add(tally)

    def missing(self, wanted: range) -> Iterator[int]:
        """Give the seeds that are still to be played."""
        return (seed for seed in wanted if not any(seed in played for played in self.seeds))

    @property
    def total(self) -> Tally:
        """What all profiles came to."""
        total = Tally()
        for tally in self.profiles.values():
            total.add(tally)
        return total

    def save(self, file: Path) -> None:
        """Keep the figures; whoever is interrupted while it writes leaves the file as it was."""
        seeds = [[played.start, played.stop] for played in self.seeds]
        told = {"seeds": seeds, "code": self.code, "profiles": self.profiles, "failed": self.failed}
        fresh = file.with_name(f"{file.name}.new")
        fresh.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
        fresh.replace(file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read figures that were kept."""
        told = orjson.loads(file.read_bytes())
        return cls(
            [range(*bounds) for bounds in told["seeds"]],
            Counter(told["code"]),
            {name: _tally(counted) for name, counted in told["profiles"].items()},
            {int(seed): violation for seed, violation in told["failed"].items()},
        )


def merged(files: Iterable[Path]) -> Figures:
    """Put the figures of several files together."""
    figures = Figures()
    for file in files:
        figures.merge(Figures.load(file))
    return figures


def shown(figures: Figures) -> Iterator[str]:
    """Write the figures as docs/safety.md has them: the totals, a table of profiles, and one of faults."""
    total = figures.total
    seeds = ", ".join(f"{played.start:,} to {played.stop - 1:,}" for played in figures.seeds)
    versions = ", ".join(f"{name} ({count:,})" for name, count in sorted(figures.code.items()))
    yield f"{total.schedules:,} schedules (seeds {seeds}) of {total.runs:,} runs, by the code {versions}"
    yield ""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{' --- |' * len(_COLUMNS)}"
    for name, tally in sorted(figures.profiles.items()):
        yield _row(f"`{name}`", tally)
    yield _row("all", total)
    yield ""
    yield f"Corrections ended: {', '.join(f'{count:,} {name}' for name, count in total.ended.most_common())}."
    yield ""
    yield "| fault | times |"
    yield "| --- | --- |"
    for name, count in total.faults.most_common():
        yield f"| `{name}` | {count:,} |"


@cache
def code_version() -> str:
    """Name the code that plays: the pipeline's and the simulation's, by a hash over what a schedule loads."""
    play(case_of(0))
    hashed = sha256()
    for name, module in sorted(sys.modules.items()):
        if name.startswith(_PLAYING) and module.__file__ is not None:
            hashed.update(Path(module.__file__).read_bytes())
    return hashed.hexdigest()[:12]


def _row(name: str, tally: Tally) -> str:
    double, lost = tally.wrong[Wrong.DOUBLE], tally.wrong[Wrong.LOST]
    wrong = double, lost, tally.wrong.total() - double - lost
    counts = (tally.schedules, tally.posts, tally.effects, *wrong, tally.corrections)
    told = " | ".join(f"{count:,}" for count in counts)
    return f"| {name} | {told} | {tally.left:,} ({1 - tally.unaided:.2%}) |"


def _tally(counted: dict[str, Any]) -> Tally:
    known = {name: Counter(told) if isinstance(told, dict) else told for name, told in counted.items()}
    return Tally(**cast("dict[str, Any]", known))


def _joined(played: Iterable[range]) -> list[range]:
    """Join ranges that meet; no seed counts twice."""
    joined: list[range] = []
    for each in sorted(played, key=lambda found: found.start):
        if joined and each.start < joined[-1].stop:
            raise NotToBeMerged(f"seed {each.start} is counted twice; name files of different seeds")
        if joined and each.start == joined[-1].stop:
            joined[-1] = range(joined[-1].start, each.stop)
        else:
            joined.append(each)
    return joined
