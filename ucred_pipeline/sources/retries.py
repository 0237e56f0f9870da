"""Patience with a source: how often, how soon and how fast to ask again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from aiolimiter import AsyncLimiter

T = TypeVar("T")

_CHANCE = random.SystemRandom()


class Transient(Exception):
    """A read failed in a way that may pass; `wait_s` is how long the source asked to be left alone."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Unreachable(Transient):
    """Nobody answers at that address."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to ask, with exponential back-off and full jitter between."""

    attempts: int
    pause_s: float = 0.5
    longest_s: float = 60.0

    def delay(self, attempt: int, failure: Transient) -> float:
        """Draw the pause after a failed attempt; never shorter than the source asked for."""
        drawn = _CHANCE.uniform(0.0, min(self.longest_s, self.pause_s * 2 ** (attempt - 1)))
        return drawn if failure.wait_s is None else failure.wait_s + min(drawn, 1.0)

    async def read(self, once: Callable[[], Awaitable[T]]) -> T:
        """Read until an answer comes, or raise a failure that says why no more attempts are made."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await once()
            except Transient as failure:
                if (failure.wait_s or 0.0) > self.longest_s:
                    raise Transient(f"{failure} with a pause of {failure.wait_s:g} s") from failure
                if attempt >= self.attempts:
                    raise Transient(f"{failure}, {attempt} times in a row,") from failure
                await asyncio.sleep(self.delay(attempt, failure))


class Pacer:
    """Spaces requests out, and holds all of them back when the source asks for a pause."""

    def __init__(self, per_second: float | None) -> None:
        self._limiter = None if per_second is None else _bucket(per_second)
        self._held_until = 0.0

    async def turn(self) -> None:
        """Wait until the next request may be sent."""
        loop = asyncio.get_running_loop()
        if (wait := self._held_until - loop.time()) > 0:
            await asyncio.sleep(wait)
        if self._limiter is not None:
            await self._limiter.acquire()

    def hold(self, failure: Transient) -> None:
        """Send nothing more before the pause that a throttled answer asked for is over."""
        if failure.wait_s is not None:
            until = asyncio.get_running_loop().time() + failure.wait_s
            self._held_until = max(self._held_until, until)


def _bucket(per_second: float) -> AsyncLimiter:
    # A bucket as large as the rate lets twice the rate pass in its first second. A fifth of it
    # keeps 20 requests a second, with their burst, below Stripe's 25.
    burst = max(1.0, per_second / 5)
    return AsyncLimiter(burst, burst / per_second)


def asked_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read `Retry-After`, in seconds or as a date; None where it is missing or makes no sense."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None
