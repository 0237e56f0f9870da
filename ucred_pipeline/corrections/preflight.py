"""The gates before anything is sent: the build, the clocks, the token, and the indexer's memory."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from ucred_pipeline.corrections.indexer import IndexerConnection, Sight
from ucred_pipeline.domain.answers import AnswerKind, Trust, read_answer
from ucred_pipeline.ledger.anchors import Anchor, forgotten


class Gate(StrEnum):
    """Why nothing may be sent now."""

    UNKNOWN_BUILD = "unknown_build"
    CLOCKS_DISAGREE = "clocks_disagree"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - the name of a gate
    TOKEN_UNPROVED = "token_unproved"  # noqa: S105 - the name of a gate
    ANCHOR_MISSING = "anchor_missing"
    INDEXER_FORGOT = "indexer_forgot"
    INDEXER_UNREACHABLE = "indexer_unreachable"


class Refused(Exception):
    """A gate is closed: nothing may be sent; the message says what to do."""

    def __init__(self, gate: Gate, advice: str) -> None:
        super().__init__(f"{gate}: {advice}")
        self.gate = gate
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Gates:
    """What must hold before anything is sent.

    `debits_possible`: customers may spend, so one balance that fell proves nothing.
    """

    reviewed_builds: tuple[str, ...]
    clock_skew: timedelta
    debits_possible: bool

    def check_sight(self, sight: Sight) -> None:
        """Refuse an unknown build, and a clock that disagrees with ours."""
        if str(sight.build) not in self.reviewed_builds:
            raise Refused(
                Gate.UNKNOWN_BUILD,
                f"the indexer is {sight.build}, which is not reviewed; see docs/runbook.md, Unknown build",
            )
        if sight.server_date is None or abs(sight.server_date - sight.began) > self.clock_skew:
            raise Refused(
                Gate.CLOCKS_DISAGREE,
                f"the indexer's clock and ours differ by more than {self.clock_skew.total_seconds():.0f} s, "
                "or it does not tell the time; set both by NTP",
            )

    async def check_memory(self, connection: IndexerConnection, anchors: list[Anchor]) -> None:
        """Refuse an indexer that has forgotten credits which it acknowledged."""
        held = {anchor.account: await connection.balance(anchor.account) for anchor in anchors}
        lost = forgotten(anchors, held, debits_possible=self.debits_possible)
        if lost:
            raise Refused(
                Gate.INDEXER_FORGOT,
                f"{len(lost)} of {len(anchors)} accounts hold less than the indexer had acknowledged; "
                "see docs/runbook.md, The indexer was restarted",
            )


async def check_token(connection: IndexerConnection) -> None:
    """Prove the token without an effect: a right one is refused for its amount only."""
    reply = await connection.probe_token()
    kind = read_answer(reply.status, reply.body, 1, Trust(reviewed_build=True, early_429=True)).kind
    if kind is AnswerKind.TOKEN_REFUSED:
        raise Refused(Gate.TOKEN_REFUSED, "the indexer refuses RUST_L1_ADMIN_TOKEN; set the right one")
    if kind is not AnswerKind.REQUEST_REFUSED:
        raise Refused(
            Gate.TOKEN_UNPROVED,
            f"the indexer answered {reply.status} to the probe of RUST_L1_ADMIN_TOKEN; try again later",
        )
