"""What a sandbox is asked for."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

#: How long after its issuance a purchase may still be credited by the payments API.
GRACE: Final = timedelta(minutes=30)
#: The history covers these weeks; a few special cases are older.
HISTORY: Final = timedelta(days=35)


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """The world to make; the same spec and the same moment make the same world."""

    seed: int = 1
    #: Purchases in all, special cases included; foreign and abandoned payments come on top.
    purchases: int = 200
    #: The share of all purchases that are ordinary ones lacking their UCRED.
    lacking_share: float = 0.05
    #: Without special cases there are only credited and lacking purchases.
    special_cases: bool = True
    #: Without logs neither service leaves a line.
    logs: bool = True
    #: How many accounts lose the answer of their next credit after its effect; None is 1 with logs, else 0.
    lost_answers: int | None = None
    #: The operator token of the indexer; None leaves the variable unset.
    token: str | None = "sandbox-operator-token"  # noqa: S105 - opens nothing but the sandbox
    #: The key that the Stripe of the sandbox accepts.
    key: str = "rk_test_sandboxsandboxsandboxsandbox"
    stripe_port: int = 0
    indexer_port: int = 0

    def __post_init__(self) -> None:
        """Refuse a world that cannot be."""
        if self.purchases < 0:
            raise ValueError("a sandbox cannot have fewer than 0 purchases")
        if not 0 <= self.lacking_share <= 1:
            raise ValueError("the share of lacking purchases is between 0 and 1")

    @property
    def answers_to_lose(self) -> int:
        """How many credits are to take effect without an answer."""
        if self.lost_answers is None:
            return 1 if self.logs else 0
        return self.lost_answers
