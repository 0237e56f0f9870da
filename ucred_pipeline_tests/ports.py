"""Ports of loopback for programs that must be told one before they start."""

import random
from contextlib import suppress
from socket import create_server
from typing import Final

#: Below those that systems give to whoever asks for any, so that nobody is given one before it is taken.
_NOBODYS: Final = range(20_000, 32_000)


def free_port() -> int:
    """Find a port that nothing listens at."""
    for port in random.SystemRandom().sample(_NOBODYS, 100):
        with suppress(OSError), create_server(("127.0.0.1", port)):
            return port
    raise OSError("no port is free")
