"""The indexer's state root, kept up to date at the cost of what changed."""

from bisect import bisect_left, insort
from typing import Final

from blake3 import blake3

from ucred_pipeline.domain.state_root import ASSETS

_BLOCK: Final = 512
_Key = tuple[bytes, bytes]


def _inner(data: bytes) -> bytes:
    return blake3(data).hexdigest().encode()


def _assets() -> bytes:
    parts = [f"|{symbol}|\x12|{ASSETS[symbol] or ''}" for symbol in sorted(ASSETS)]
    return _inner(("uny-korn-state-assets-v1" + "".join(parts)).encode())


_HEAD: Final = (
    b"uny-korn-state-root-v1|namespaces:"
    + _inner(b"uny-korn-state-namespaces-v1")
    + b"|assets:"
    + _assets()
    + b"|balances:"
)


class _Block:
    """Some neighbouring balances, and their bytes as long as none of them changes."""

    __slots__ = ("encoded", "keys")

    def __init__(self, keys: list[_Key]) -> None:
        self.keys = keys
        self.encoded: bytes | None = None


class Commitment:
    """Commits to every balance that is not zero, in byte order of asset and account."""

    def __init__(self) -> None:
        self._wei: dict[_Key, int] = {}
        self._blocks: list[_Block] = [_Block([])]
        self._firsts: list[_Key] = [(b"", b"")]
        # The hash of everything before each block: only what follows a change is hashed again.
        self._before = [blake3(b"uny-korn-state-balances-v1")]
        self._root: str | None = None

    def put(self, asset: str, account: str, wei: int) -> None:
        """Set one balance."""
        key = (asset.encode(), account.encode())
        at = self._block_of(key)
        block = self._blocks[at]
        if wei and key not in self._wei:
            insort(block.keys, key)
        elif not wei and key in self._wei:
            block.keys.remove(key)
        if wei:
            self._wei[key] = wei
        else:
            self._wei.pop(key, None)
        self._changed(at)

    def _block_of(self, key: _Key) -> int:
        at = bisect_left(self._firsts, key)
        return at if at < len(self._firsts) and self._firsts[at] == key else at - 1

    def _changed(self, at: int) -> None:
        block = self._blocks[at]
        block.encoded = None
        self._root = None
        del self._before[at + 1 :]
        if len(block.keys) > _BLOCK:
            half = len(block.keys) // 2
            self._blocks.insert(at + 1, _Block(block.keys[half:]))
            self._firsts.insert(at + 1, block.keys[half])
            del block.keys[half:]

    def _encoded(self, block: _Block) -> bytes:
        if block.encoded is None:
            wei = self._wei
            block.encoded = b"".join(
                [b"|%b|%b|%b" % (*key, wei[key].to_bytes(16, "little")) for key in block.keys]
            )
        return block.encoded

    def root(self) -> str:
        """The root of the state as it is now."""
        if self._root is None:
            hasher = self._before[-1].copy()
            for at in range(len(self._before) - 1, len(self._blocks)):
                hasher.update(self._encoded(self._blocks[at]))
                self._before.append(hasher.copy())
            # The last entry would stand before a block that is not there.
            balances = self._before.pop().hexdigest().encode()
            self._root = blake3(_HEAD + balances).hexdigest()
        return self._root
