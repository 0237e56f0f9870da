"""What a request asks for."""

import asyncio
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

_LONGEST_SEARCH: Final = 4096
#: Within this the one field of the search has come.
_PATIENCE_S: Final = 2.0


def chosen(choices: Any, name: str | None) -> Any:
    """Give the choice of a name; None for a name that is none."""
    return next((choice for choice in choices if choice.value == name), None)


async def searched(request: Request) -> str:
    """Read the one field of the form; a customer's address never stands in a URL."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            body = await _body(request)
    except (ClientDisconnect, TimeoutError):
        raise HTTPException(408) from None
    fields = parse_qs(body.decode(errors="replace"))
    return without_nul(fields.get("name", [""])[0].strip())


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_SEARCH:
            raise HTTPException(413)
    return body


def without_nul(name: str) -> str:
    """Replace what PostgreSQL takes in no text, so that it is the name of nothing there, too."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}")
