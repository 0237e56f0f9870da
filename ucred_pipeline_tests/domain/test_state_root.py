"""The state root is the indexer's own."""

import pytest
from blake3 import blake3

from ucred_pipeline.domain.money import MAX_WEI, WEI_PER_UCRED
from ucred_pipeline.domain.state_root import GENESIS, state_root

TENTH = WEI_PER_UCRED // 10


@pytest.mark.parametrize(
    "credited, published",
    [
        ({}, "13a441f673cdab318c220e8aac57a06107dc637fcb4bd64d37b6e8b28848a4e7"),
        (
            {("UCRED", "acct:user:alice"): TENTH},
            "79cdab209c4609e07bde327a2a0157834391c8fb58e3a44849d153cf845e3863",
        ),
        (
            {("UCRED", "acct:user:test_alice"): TENTH},
            "4dbb2c7b5b3572af447ae1c1f5e0ffc09f22af4a2494926c0648190f53887da5",
        ),
    ],
)
def test_the_published_roots_are_reproduced(credited: dict[tuple[str, str], int], published: str) -> None:
    """What the indexer's owners published comes out of our computation."""
    assert published == state_root({**GENESIS, **credited})


def test_balances_of_zero_and_the_order_of_balances_do_not_count() -> None:
    """A root depends on who holds what, not on how we came to know it."""
    held = {("UCRED", "acct:user:b"): 1, ("GOLD", "acct:user:a"): 2}
    turned = {("UCRED", "acct:user:none"): 0, **dict(reversed(held.items()))}

    assert state_root({**GENESIS, **held}) == state_root({**turned, **GENESIS})


def test_a_balance_is_committed_in_sixteen_bytes_and_in_byte_order() -> None:
    """Amounts beyond 64 bits, capitals and letters beyond ASCII enter the root as the indexer writes them."""
    accounts = ["acct:user:Z@x.com", "acct:user:a@x.com", "acct:user:ä@x.com", "acct:user:😀@x.com"]
    balances = b"".join(b"|UCRED|%s|%s" % (account.encode(), b"\xff" * 16) for account in accounts)
    known = {("UCRED", account): MAX_WEI for account in reversed(accounts)}

    assert specified_root(balances) == state_root(known)


def specified_root(balances: bytes) -> str:
    """The root as its owners describe it, with the part of the balances written out."""
    ipfs = {"UCRED", "UUSD", "GOLD", "FTH", "MOG"}
    symbols = sorted(ipfs | {"XXXIII", "OPTKAS1", "KBURNS", "EUR", "GBP", "DRUNKS"})
    assets = "".join(f"|{symbol}|\x12|{'ipfs://Qm' + symbol if symbol in ipfs else ''}" for symbol in symbols)
    inner = {
        "namespaces": blake3(b"uny-korn-state-namespaces-v1").hexdigest(),
        "assets": blake3(b"uny-korn-state-assets-v1" + assets.encode()).hexdigest(),
        "balances": blake3(b"uny-korn-state-balances-v1" + balances).hexdigest(),
    }
    return blake3(
        ("uny-korn-state-root-v1" + "".join(f"|{n}:{h}" for n, h in inner.items())).encode()
    ).hexdigest()
