"""The catalogue of what can happen to a purchase, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final


class Mint(StrEnum):
    """What became of the payments API's one try to credit."""

    CREDITED = auto()
    UNHEARD = auto()  # credited, and the answer came too late
    TWICE = auto()  # credited, and then by support as well
    BY_SUPPORT = auto()
    OTHER_CAPITALS = auto()  # credited to the same letters in other capitals
    DOWN = auto()
    REFUSED = auto()
    TIMED_OUT = auto()
    SILENT = auto()


class Certificate(StrEnum):
    """What became of the certificate."""

    ISSUED = auto()
    RETRIED = auto()
    TWICE = auto()
    GIVEN_AWAY = auto()  # its row was re-pointed at a later payment
    TAKEN_OVER = auto()  # it has the row of an earlier payment
    FAILED = auto()
    PLACEHOLDER = auto()
    NO_ROW = auto()
    UNKNOWN = auto()  # the database does not even have the payment


class Paying(StrEnum):
    """How the PaymentIntent went."""

    PAID = auto()
    NINE_DAYS_LATER = auto()
    PROCESSING = auto()
    CANCELED = auto()
    ABANDONED = auto()
    DECLINED = auto()


class Refunding(StrEnum):
    """How money was given back."""

    EARLY = auto()
    LATE = auto()
    IN_TWO_PARTS = auto()
    PENDING = auto()
    FAILED = auto()
    PARTIAL = auto()


class Kind(StrEnum):
    """What was bought, as the metadata say."""

    CERTIFICATE = auto()
    NIL = auto()
    FRIENDS_AND_FAMILY = auto()
    WITHOUT_METADATA = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One payment from beginning to end; `{n}` in an address is a number that makes it unique."""

    case: str
    paying: Paying = Paying.PAID
    certificate: Certificate = Certificate.ISSUED
    mint: Mint = Mint.SILENT
    refunding: Refunding | None = None
    dispute: str | None = None
    kind: Kind = Kind.CERTIFICATE
    address: str | None = None
    #: Between how many days ago it may have begun.
    ages: tuple[float, float] = (4.0, 34.0)
    topped_up: bool = False
    address_at_stripe: str | None = None

    @property
    def withdrawn(self) -> bool:
        """Whether the customer has, or may keep, the money."""
        refunded = {Refunding.EARLY, Refunding.LATE, Refunding.IN_TWO_PARTS, Refunding.PENDING}
        return self.refunding in refunded or self.dispute in {"needs_response", "under_review", "lost"}

    @property
    def tangled(self) -> bool:
        """Whether the evidence contradicts itself."""
        taken = self.certificate in {Certificate.TWICE, Certificate.TAKEN_OVER}
        return taken or self.mint is Mint.OTHER_CAPITALS


_ORDINARY: Final = (0.05, 34.5)
CREDITED: Final = Story(case="credited", mint=Mint.CREDITED, ages=_ORDINARY)
#: The failure scenarios that the owners name; they take turns.
LACKING: Final = (
    Story(case="lacking_indexer_down", mint=Mint.DOWN, ages=_ORDINARY),
    Story(case="lacking_wrong_token", mint=Mint.REFUSED, ages=_ORDINARY),
    Story(case="lacking_timed_out", mint=Mint.TIMED_OUT, ages=_ORDINARY),
    Story(case="lacking_unconfigured", ages=_ORDINARY),
    Story(case="lacking_restarted", ages=_ORDINARY),
    Story(case="lacking_reissued", certificate=Certificate.RETRIED, ages=(0.5, 34.5)),
)
ABANDONED: Final = (
    Story(case="abandoned", paying=Paying.ABANDONED, certificate=Certificate.NO_ROW, ages=_ORDINARY),
    Story(case="abandoned_declined", paying=Paying.DECLINED, certificate=Certificate.NO_ROW, ages=_ORDINARY),
    Story(
        case="abandoned_canceled", paying=Paying.CANCELED, certificate=Certificate.NO_ROW, ages=(2.0, 34.5)
    ),
)
FOREIGN: Final = Story(
    case="foreign",
    certificate=Certificate.UNKNOWN,
    kind=Kind.FOREIGN,
    address="shop{n}@example.net",
    ages=_ORDINARY,
)
PROCESSING: Final = Story(
    case="processing", paying=Paying.PROCESSING, certificate=Certificate.NO_ROW, ages=(8.0, 8.5)
)


def _many() -> tuple[Story, ...]:
    credited = Story(case="many_purchases_credited", mint=Mint.CREDITED)
    return (*[credited] * 11, Story(case="many_purchases_lacking", mint=Mint.DOWN))


#: Each special case with its purchases, which share one account where they name no address.
SPECIAL: Final[tuple[tuple[Story, ...], ...]] = (
    (Story(case="credited_by_support", mint=Mint.BY_SUPPORT),),
    (Story(case="credited_unheard", mint=Mint.UNHEARD),),
    (Story(case="credited_and_topped_up", mint=Mint.CREDITED, topped_up=True),),
    (Story(case="lacking_before_crediting", ages=(36.0, 55.0)),),
    (
        Story(case="sixty_days_ago_lacking", ages=(60.0, 60.5)),
        Story(case="sixty_days_ago_sibling", mint=Mint.CREDITED),
    ),
    (Story(case="pending", ages=(0.0034, 0.0041)),),
    (Story(case="unissued_failed", certificate=Certificate.FAILED),),
    (Story(case="unissued_without_row", certificate=Certificate.NO_ROW),),
    (Story(case="unissued_unknown_to_database", certificate=Certificate.UNKNOWN),),
    (Story(case="unpaid_canceled", paying=Paying.CANCELED),),
    (Story(case="unpaid_abandoned", paying=Paying.ABANDONED),),
    (Story(case="over_credited", mint=Mint.TWICE),),
    (Story(case="withdrawn_voided_credited", mint=Mint.CREDITED, refunding=Refunding.EARLY),),
    (Story(case="withdrawn_voided_uncredited", refunding=Refunding.EARLY),),
    (Story(case="withdrawn_refunded_late_credited", mint=Mint.CREDITED, refunding=Refunding.LATE),),
    (Story(case="withdrawn_refunded_late_uncredited", refunding=Refunding.LATE),),
    (Story(case="withdrawn_refunded_in_two_parts", refunding=Refunding.IN_TWO_PARTS),),
    (Story(case="withdrawn_refund_pending", refunding=Refunding.PENDING),),
    (Story(case="withdrawn_disputed_credited", mint=Mint.CREDITED, dispute="needs_response"),),
    (Story(case="withdrawn_disputed_uncredited", dispute="under_review"),),
    (Story(case="withdrawn_dispute_lost_credited", mint=Mint.CREDITED, dispute="lost"),),
    (Story(case="withdrawn_dispute_lost_uncredited", dispute="lost"),),
    (Story(case="owed_refund_failed", refunding=Refunding.FAILED),),
    (Story(case="owed_partial_refund", refunding=Refunding.PARTIAL),),
    (Story(case="owed_dispute_won", dispute="won"),),
    (Story(case="owed_dispute_warning", dispute="warning_needs_response"),),
    (
        Story(case="withdrawn_beside_lacking", mint=Mint.CREDITED, refunding=Refunding.LATE),
        Story(case="lacking_beside_withdrawn", mint=Mint.DOWN),
    ),
    (Story(case="ambiguous_twice_issued", certificate=Certificate.TWICE, mint=Mint.CREDITED),),
    (Story(case="ambiguous_capitals", mint=Mint.OTHER_CAPITALS, address="inez.lindt{n}@example.com"),),
    (
        Story(
            case="namespace_given_away",
            certificate=Certificate.GIVEN_AWAY,
            mint=Mint.CREDITED,
            refunding=Refunding.EARLY,
            ages=(20.0, 30.0),
        ),
        Story(case="namespace_taken_over", certificate=Certificate.TAKEN_OVER, ages=(4.0, 15.0)),
    ),
    (Story(case="lacking_behind_top_up", topped_up=True),),
    (Story(case="friends_and_family", mint=Mint.CREDITED, kind=Kind.FRIENDS_AND_FAMILY),),
    (
        Story(
            case="friends_and_family_unissued",
            certificate=Certificate.NO_ROW,
            kind=Kind.FRIENDS_AND_FAMILY,
        ),
    ),
    (Story(case="nil_labelled", mint=Mint.CREDITED, kind=Kind.NIL),),
    (Story(case="without_metadata", mint=Mint.CREDITED, kind=Kind.WITHOUT_METADATA),),
    _many(),
    (Story(case="address_plus", mint=Mint.DOWN, address="nora+ucred{n}@example.com"),),
    (Story(case="address_ampersand", mint=Mint.CREDITED, address="black&white{n}@example.com"),),
    (Story(case="address_percent", mint=Mint.CREDITED, address="50%41off{n}@example.com"),),
    (Story(case="address_quoted", mint=Mint.CREDITED, address='"memo=a b{n}"@example.com'),),
    (Story(case="address_capitals", mint=Mint.CREDITED, address="Otto.Brandt{n}@Example.com"),),
    (Story(case="address_non_ascii", address="zoë.müller{n}@exämple.com"),),
    (
        Story(case="case_twin_capital", mint=Mint.CREDITED, address="Mara.Voss{n}@example.com"),
        Story(case="case_twin_small", mint=Mint.REFUSED, address="mara.voss{n}@example.com"),
    ),
    (
        Story(
            case="other_address_at_stripe",
            mint=Mint.CREDITED,
            address="Rhea.Kim{n}@example.com",
            address_at_stripe="rhea.kim{n}@example.com",
        ),
    ),
    (Story(case="succeeded_nine_days_later", paying=Paying.NINE_DAYS_LATER, ages=(12.0, 13.0)),),
)
#: The empty placeholder of a token is unique in the database, so there can be one of these at most.
PLACEHOLDER: Final = Story(case="unissued_placeholder", certificate=Certificate.PLACEHOLDER)


def _stories() -> Iterator[Story]:
    yield CREDITED
    yield from LACKING
    yield from ABANDONED
    yield from (FOREIGN, PROCESSING, PLACEHOLDER)
    for case in SPECIAL:
        yield from case


#: Every story by the name of its case.
STORIES: Final[Mapping[str, Story]] = {story.case: story for story in _stories()}
#: What cannot happen alone, or only once.
_NOT_LIVE: Final = frozenset({Certificate.GIVEN_AWAY, Certificate.TAKEN_OVER, Certificate.PLACEHOLDER})
#: The stories that may also happen while the sandbox runs.
LIVE: Final[Mapping[str, Story]] = {
    case: story for case, story in STORIES.items() if story.certificate not in _NOT_LIVE
}
