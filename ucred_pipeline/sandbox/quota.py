"""How many requests somebody may make in a while."""

import math
from collections import deque
from datetime import datetime, timedelta


class Quota:
    """A limit for each caller over a sliding window of time."""

    def __init__(self, length: timedelta) -> None:
        self._length = length
        self._seen: dict[str, deque[datetime]] = {}

    def wait(self, caller: str, limit: int, now: datetime) -> int:
        """Count a request; 0 when it may pass, otherwise the whole seconds to wait."""
        seen = self._seen.setdefault(caller, deque())
        while seen and seen[0] <= now - self._length:
            seen.popleft()
        if len(seen) < limit:
            seen.append(now)
            return 0
        oldest = seen[0] if seen else now
        return max(1, math.ceil((oldest + self._length - now).total_seconds()))
