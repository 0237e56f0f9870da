"""Faults of the outside world, switched on and off while it runs."""

import math
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

#: Each fault with what it does; the value after `=` is its default, where it takes one.
FAULTS: Final[Mapping[str, tuple[str | None, str]]] = {
    "indexer-latency": ("0.5", "every answer of the indexer comes so many seconds later"),
    "indexer-refuse": (None, "the indexer does not listen: connections are refused"),
    "indexer-drop-before": (None, "a credit's connection drops before the effect"),
    "indexer-drop-after": (None, "a credit's connection drops after the effect: the answer is lost"),
    "indexer-error-before": ("502", "a credit meets an HTML error page (500, 502, ...) without effect"),
    "indexer-error-after": ("502", "a credit takes effect and is answered by an HTML error page"),
    "indexer-truncated": (None, "a credit takes effect and its 200 breaks off half-way"),
    "indexer-foreign": (None, "a credit is answered by somebody's HTML page with 200, without effect"),
    "indexer-foreign-after": (None, "a credit takes effect, and is answered by an HTML page with 200"),
    "indexer-slow-answer": ("30", "a credit takes effect, and is answered so many seconds later"),
    "indexer-panic": (None, "a credit panics under the lock: no more answers until a restart"),
    "indexer-read-error": ("500", "a read meets an HTML error page (500, 502, ...)"),
    "indexer-read-drop": (None, "a read's connection drops"),
    "indexer-read-truncated": (None, "a read's answer breaks off half-way"),
    "indexer-read-foreign": (None, "a read is answered by somebody's HTML page with 200"),
    "indexer-rate-limit": ("100", "so many requests a minute for each address, then 429"),
    "indexer-admin-limit": ("10", "so many credits a minute for each token, then 429"),
    "indexer-build": ("0.2.0", "the indexer names this version in /health"),
    "indexer-clock-skew": ("400", "the indexer's clock is so many seconds ahead"),
    "stripe-latency": ("0.5", "every answer of Stripe comes so many seconds later"),
    "stripe-refuse": (None, "Stripe does not listen: connections are refused"),
    "stripe-forbid": ("refunds", "the key may not read this resource: 403"),
    "stripe-unauthorized": (None, "Stripe no longer knows the key: 401"),
    "stripe-rate-limit": ("25", "so many requests a second, then 429"),
    "stripe-error": ("500", "Stripe answers an HTML error page (500, 502, ...)"),
    "stripe-truncated": (None, "Stripe's answer breaks off half-way"),
    "stripe-hang": ("600", "Stripe's answer comes so many seconds later, after its head"),
    "stripe-late-events": ("60", "events appear so many seconds late"),
}


_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
#: The one fault whose number may be negative: a clock that is behind.
_SIGNED: Final = "indexer-clock-skew"
#: Faults whose value is no number, with what it may be.
_WORDS: Final[Mapping[str, frozenset[str] | None]] = {
    "indexer-build": None,
    "stripe-forbid": frozenset({"payment_intents", "charges", "refunds", "disputes", "events", "balance"}),
}


class UnknownFault(ValueError):
    """No such fault, or not with that value."""


def _checked(name: str, value: str | float | None, probability: float) -> str:
    """Give a fault its value; UnknownFault says what is allowed."""
    if name not in FAULTS:
        raise UnknownFault(f'no fault "{name}"; there are: {", ".join(FAULTS)}')
    if not 0 <= probability <= 1:
        raise UnknownFault(f"the probability of {name} is between 0 and 1")
    default, given = FAULTS[name][0], "" if value is None else str(value)
    if default is None and given:
        raise UnknownFault(f"{name} takes no value")
    allowed = _WORDS.get(name)
    if allowed and given and given not in allowed:
        raise UnknownFault(f"{name} is one of {', '.join(sorted(allowed))}")
    number = given.removeprefix("-") if name == _SIGNED else given
    if given and name not in _WORDS and not _NUMBER.fullmatch(number):
        raise UnknownFault(f'{name} takes a number, not "{given}"')
    return given or default or ""


@dataclass(slots=True)
class _Fault:
    value: str
    probability: float
    account: str | None
    skip: int
    left: float

    def strikes(self, chance: float) -> bool:
        """Decide this occasion, and count it."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.left <= 0 or chance >= self.probability:
            return False
        self.left -= 1
        return True


class Faults:
    """The board of switches: by probability, for one account, for the next few occasions."""

    def __init__(self, seed: int, changed: Callable[[], None] = lambda: None) -> None:
        self._random = random.Random(seed)
        self._changed = changed
        self._lock = threading.Lock()
        self._set: dict[str, list[_Fault]] = {}

    def set(  # noqa: PLR0913 - each is a way to narrow a fault down
        self,
        name: str,
        value: str | float | None = None,
        *,
        probability: float = 1.0,
        account: str | None = None,
        times: int | None = None,
        skip: int = 0,
    ) -> None:
        """Switch a fault on; `times` limits it to the next occasions, `skip` lets some pass before."""
        given = _checked(name, value, probability)
        fault = _Fault(given, probability, account, skip, math.inf if times is None else times)
        with self._lock:
            self._set.setdefault(name, []).append(fault)
        self._changed()

    def clear(self, name: str | None = None) -> None:
        """Switch one fault off, or all of them."""
        with self._lock:
            if name is None:
                self._set.clear()
            else:
                self._set.pop(name, None)
        self._changed()

    def strike(self, name: str, account: str | None = None) -> str | None:
        """Say with which value the fault strikes on this occasion; None when it does not."""
        if name not in self._set:
            return None
        with self._lock:
            for fault in self._set.get(name, ()):
                meant = fault.account is None or fault.account == account
                if meant and fault.strikes(self._random.random()):
                    return fault.value
        return None

    def values(self, name: str) -> tuple[str, ...]:
        """All values that a lasting fault has now, whatever its probability."""
        with self._lock:
            return tuple(fault.value for fault in self._set.get(name, ()))

    def accounts(self, name: str) -> frozenset[str]:
        """The accounts for which a fault is scripted and has not struck yet."""
        with self._lock:
            faults = self._set.get(name, ())
            return frozenset(
                fault.account for fault in faults if fault.account is not None and fault.left > 0
            )
