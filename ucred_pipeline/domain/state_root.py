"""The indexer's state root, computed as the indexer computes it.

BLAKE3 throughout; inner commitments are hashed as their lower-case hexadecimal text. The root
commits to every balance that is not zero, so whoever reproduces it knows all of them.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from blake3 import blake3

from ucred_pipeline.domain.accounts import TREASURIES
from ucred_pipeline.domain.money import WEI_PER_UCRED

#: Balances by (asset, account), in wei.
Balances = Mapping[tuple[str, str], int]

UCRED: Final = "UCRED"
#: Each asset of the reviewed build with its policy URI; all have 18 decimals.
ASSETS: Final[Mapping[str, str | None]] = {
    **{symbol: f"ipfs://Qm{symbol}" for symbol in ("UCRED", "UUSD", "GOLD", "FTH", "MOG")},
    **dict.fromkeys(("XXXIII", "OPTKAS1", "KBURNS", "EUR", "GBP", "DRUNKS")),
}
#: What the indexer holds after a start: three treasuries with 1,000 UCRED each.
GENESIS: Final[Balances] = {(UCRED, account): 1000 * WEI_PER_UCRED for account in TREASURIES}

_DECIMALS = 18


def _hex(parts: Iterable[bytes]) -> bytes:
    return blake3(b"".join(parts)).hexdigest().encode()


def _asset_parts() -> Iterable[bytes]:
    yield b"uny-korn-state-assets-v1"
    for symbol in sorted(ASSETS, key=str.encode):
        yield b"|%s|%c|%s" % (symbol.encode(), _DECIMALS, (ASSETS[symbol] or "").encode())


def _balance_parts(balances: Balances) -> Iterable[bytes]:
    yield b"uny-korn-state-balances-v1"
    held = ((asset.encode(), account.encode(), wei) for (asset, account), wei in balances.items() if wei)
    for asset, account, wei in sorted(held):
        yield b"|%s|%s|%s" % (asset, account, wei.to_bytes(16, "little"))


_NAMESPACES = b"|namespaces:" + _hex([b"uny-korn-state-namespaces-v1"])
_ASSETS = b"|assets:" + _hex(_asset_parts())


def state_root(balances: Balances) -> str:
    """Compute the root of a state: 64 hexadecimal digits, as `GET /audit` answers them."""
    commitment = b"|balances:" + _hex(_balance_parts(balances))
    return _hex([b"uny-korn-state-root-v1", _NAMESPACES, _ASSETS, commitment]).decode()
