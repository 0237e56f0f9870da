"""What goes wrong, and how often: each profile is one kind of installation in one kind of trouble."""

from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any, Final

#: How many times as often a trouble comes in a harder schedule; some troubles stay away.
_TIMES: Final = (0, 1, 3, 10)


@dataclass(frozen=True, slots=True)
class Profile:
    """An installation, and the rates of its troubles; each rate is a chance from 0 to 1.

    `request` holds for every fault of one credit's way, `slow` for effects that come late, `crash` and
    `pause` for every step of a process, `crash_posting` for the moment after a request has left.
    """

    name: str
    logs: bool = True
    other_writers: bool = True
    debits: bool = False
    anchors: bool = False
    request: float = 0.05
    slow: float = 0.05
    read: float = 0.01
    crash: float = 0.004
    pause: float = 0.004
    crash_posting: float = 0.02
    overlap: float = 0.3
    lock_lost: float = 0.0
    late_mint: float = 0.3
    support: float = 0.05
    top_up: float = 0.0
    debit: float = 0.0
    restart: float = 0.0
    clock_step: float = 0.0
    line_late: float = 0.05
    line_lost: float = 0.0
    log_cut: float = 0.0
    upgrade: float = 0.0
    restored: float = 0.0
    refund: float = 0.05
    retry: float = 0.0
    bought: float = 0.0
    moved: float = 0.0
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def tells_by_purchase(self) -> bool:
        """Whether a log tells of each purchase whether it was credited, at any time."""
        return self.logs and not (self.line_late or self.line_lost or self.log_cut or self.debits)


_LOGS: Final = Profile("logs", line_late=0)
_BALANCES: Final = replace(_LOGS, name="balances", logs=False, other_writers=False)

PROFILES: Final = (
    _LOGS,
    _BALANCES,
    replace(_LOGS, name="gappy_logs", line_lost=0.1, line_late=0.3, log_cut=0.1, top_up=0.05),
    replace(_LOGS, name="busy_logs", top_up=0.2, support=0.2, late_mint=0.6),
    replace(_BALANCES, name="balances_and_top_ups", other_writers=True, top_up=0.2, support=0.15),
    replace(_LOGS, name="restarts", restart=0.15),
    replace(_BALANCES, name="restarts_on_balances", restart=0.15),
    replace(_LOGS, name="debits", debits=True, debit=0.2),
    replace(_LOGS, name="several_senders", lock_lost=0.5, overlap=0.8, pause=0.02, crash=0.01),
    replace(_BALANCES, name="several_senders_on_balances", lock_lost=0.5, overlap=0.8, pause=0.02),
    replace(_LOGS, name="clocks", clock_step=0.3, pause=0.01),
    replace(_BALANCES, name="clocks_on_balances", clock_step=0.3, pause=0.01),
    replace(_LOGS, name="restored", restored=0.4, crash=0.01),
    replace(_LOGS, name="anchors", anchors=True, restart=0.15),
    replace(_LOGS, name="restarts_amid", restart=0.6, support=0.5, pause=0.1),
    replace(_LOGS, name="upgrades", upgrade=0.15, request=0.1),
    replace(_LOGS, name="limits", rules={"limits": {"corrections_per_run": 2, "ucred_per_day": 3}}),
    replace(_LOGS, name="retries", retry=0.7, bought=0.5, line_late=0.3),
    replace(_BALANCES, name="retries_on_balances", retry=0.7, bought=0.5),
    replace(_LOGS, name="movers", moved=0.7, bought=0.3, line_late=0.3),
    replace(_BALANCES, name="movers_on_balances", moved=0.7, bought=0.3),
    replace(
        _LOGS,
        name="everything",
        request=0.15,
        crash=0.01,
        pause=0.01,
        lock_lost=0.2,
        top_up=0.1,
        support=0.1,
        anchors=True,
        restart=0.1,
        clock_step=0.1,
        line_late=0.2,
        restored=0.1,
    ),
)


def profile_of(seed: int) -> Profile:
    """Each seed has its profile, in turn."""
    return PROFILES[seed % len(PROFILES)]


def harder(profile: Profile, seed: int) -> Profile:
    """The same installation in more trouble: each rate many times its own, or nothing, by the seed.

    What takes two coincidences comes hundreds of times as often.
    """
    dice = Random(f"harder {seed}")
    rates: dict[str, Any] = {
        name: min(1.0, rate * dice.choice(_TIMES))
        for name, rate in asdict(profile).items()
        if isinstance(rate, float)
    }
    return replace(profile, **rates)


def named(name: str) -> Profile:
    """Find a profile by its name."""
    return next(profile for profile in PROFILES if profile.name == name)
