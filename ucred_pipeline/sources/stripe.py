"""Reads payments from Stripe: all of a time, those that changed, or those named."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from ucred_pipeline.domain.clock import Clock, SystemClock
from ucred_pipeline.domain.payments import Payment
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.pool import drain
from ucred_pipeline.sources.stripe_connection import (
    Endpoint,
    Page,
    PermissionMissing,
    StripeAccess,
    StripeConnection,
)
from ucred_pipeline.sources.stripe_events import EVENT_TYPES, EVENTS_REACH, SETTLING, pointer_of
from ucred_pipeline.sources.stripe_objects import SOURCE, Fields, Reversals, read_intent
from ucred_pipeline.sources.stripe_walk import PageReader, Walk, Window

__all__ = ["EVENTS_REACH", "SETTLING", "PaymentsRead", "StripeAccess", "StripeSource", "Window"]

#: No PaymentIntent is older than the company that made them.
_BEFORE_STRIPE: Final = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp())
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class PaymentsRead:
    """Payments read by id, and the ids that Stripe does not know."""

    payments: list[Payment]
    unknown: frozenset[str]


class StripeSource:
    """Stripe, read whole or not at all; to be entered within the event loop that uses it.

    `progress` is told how many objects have been read so far.
    """

    _connection: StripeConnection

    def __init__(
        self,
        access: StripeAccess,
        clock: Clock | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._access = access
        self._clock = clock or SystemClock()
        self._progress = progress

    async def __aenter__(self) -> Self:
        self._connection = StripeConnection(self._access, self._clock, self._progress)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connection.close()

    async def preflight(self) -> None:
        """Try each endpoint that is used, and name every permission that the key lacks."""
        missing: set[str] = set()

        async def attempt(endpoint: Endpoint) -> None:
            permission = await self._connection.missing_permission(endpoint)
            if permission is not None:
                missing.add(permission)

        await drain(Endpoint, attempt, len(Endpoint))
        if missing:
            raise PermissionMissing(sorted(missing))
        self._connection.refuse_another_time()

    async def sweep(
        self,
        window: Window,
        closed: Callable[[Window, list[Payment]], None],
        done: Sequence[Window] = (),
    ) -> None:
        """Read the payments created within a window, except in those parts of it that are done.

        `closed` is called with windows that tile what was to be read, each when Stripe has shown that
        its payments are all there are. The window ends a minute ago or earlier (`SETTLING`).
        """
        gaps = window.minus(done)
        if not gaps:
            return
        reversals = await self._reversals_since(gaps[0].since)

        async def take(rows: Sequence[Fields]) -> list[Payment]:
            return await self._payments(rows, reversals)

        read = self._reader(Endpoint.PAYMENT_INTENTS, expand=["data.latest_charge"])
        await Walk(read, take, closed, self._access.workers).over(gaps)

    async def oldest(self) -> datetime | None:
        """Find when the oldest PaymentIntent was created, by halving: Stripe lists newest first."""
        page = await self._connection.page(Endpoint.PAYMENT_INTENTS)
        if not page.rows:
            return None
        low, high = _BEFORE_STRIPE, page.rows[-1].created
        while page.more and low < high:
            middle = low + (high - low + 1) // 2
            before = await self._connection.page(Endpoint.PAYMENT_INTENTS, created={"lt": middle})
            if before.rows:
                page, high = before, before.rows[-1].created
            else:
                low = middle
        return datetime.fromtimestamp(high, UTC)

    async def changed_since(self, moment: datetime) -> frozenset[str]:
        """Name the PaymentIntents that events since a moment point at, up to a minute ago."""
        return frozenset(await self.newest_events(moment))

    async def newest_events(self, moment: datetime) -> dict[str, datetime]:
        """Name those PaymentIntents, each with the time of its newest event."""
        now = self._clock.now()
        if moment < now - EVENTS_REACH:
            raise SourceUnreadable(
                SOURCE,
                f"events are asked for since {moment:%Y-%m-%d}, but Stripe keeps them for 30 days",
                "Sweep the payments from 90 days before that day on.",
            )
        changed: dict[str, datetime] = {}
        charges: set[str] = set()

        async def take(events: Sequence[Fields]) -> list[None]:
            for event in events:
                pointer, at = pointer_of(event), datetime.fromtimestamp(event.created, UTC)
                if pointer.payment_intent is not None:
                    changed[pointer.payment_intent] = max(at, changed.get(pointer.payment_intent, at))
                elif pointer.charge is not None:
                    charges.add(pointer.charge)
            return [None] * len(events)

        since, until = moment.replace(microsecond=0), (now - SETTLING).replace(microsecond=0)
        if since < until:
            read = self._reader(Endpoint.EVENTS, types=list(EVENT_TYPES))
            await Walk(read, take, _nothing, self._access.workers).over([Window(since, until)])
        return changed | dict.fromkeys(await self._intents_of(charges), now)

    async def reversed_since(self, moment: datetime) -> frozenset[str]:
        """Name the PaymentIntents, however old, that were refunded or disputed since a moment.

        Some refunds never make an event, so their lists are looked through as well.
        """
        return (await self._reversals_since(moment.replace(microsecond=0))).payment_intents

    async def payments(self, ids: Collection[str]) -> PaymentsRead:
        """Read payments by id, each with its refunds and disputes as they are now."""
        payments: list[Payment] = []
        unknown: set[str] = set()

        async def read(name: str) -> None:
            payment = await self._payment(name)
            if payment is None:
                unknown.add(name)
            else:
                payments.append(payment)

        await drain(dict.fromkeys(ids), read, self._access.workers)
        return PaymentsRead(payments, frozenset(unknown))

    async def _payment(self, name: str) -> Payment | None:
        row = await self._connection.retrieve(Endpoint.PAYMENT_INTENTS, name, expand=["latest_charge"])
        if row is None:
            return None
        intent, reversals = read_intent(row), Reversals()
        if not intent.untouched:
            async for refund in self._connection.every(Endpoint.REFUNDS, payment_intent=name):
                reversals.add_refund(refund)
            async for dispute in self._connection.every(Endpoint.DISPUTES, payment_intent=name):
                reversals.add_dispute(dispute)
        return intent.settled(reversals.of(name))

    async def _payments(self, rows: Sequence[Fields], reversals: Reversals) -> list[Payment]:
        """Make payments of listed rows; read again those whose refunds or disputes came in between."""
        intents = [read_intent(row) for row in rows]
        listed = {intent.payment.id: reversals.of(intent.payment.id) for intent in intents}
        torn = [each.payment.id for each in intents if not each.agrees_with(listed[each.payment.id])]
        again = await self.payments(torn) if torn else PaymentsRead([], frozenset())
        if again.unknown:
            raise SourceUnreadable(
                SOURCE,
                f"{min(again.unknown)} was listed, and a moment later unknown",
                "Nothing was decided. Try again later.",
            )
        renewed = {payment.id: payment for payment in again.payments}
        return [renewed.get(each.payment.id) or each.settled(listed[each.payment.id]) for each in intents]

    async def _reversals_since(self, since: datetime) -> Reversals:
        """List refunds and disputes up to now: none is older than its payment."""
        reversals = Reversals()
        window = Window(since, max(since, self._clock.now().replace(microsecond=0) + _SECOND))
        workers = max(1, self._access.workers // 2)

        async def walk(kind: tuple[Endpoint, Callable[[Fields], None]]) -> None:
            endpoint, add = kind

            async def take(rows: Sequence[Fields]) -> list[None]:
                for row in rows:
                    add(row)
                return [None] * len(rows)

            await Walk(self._reader(endpoint), take, _nothing, workers).over([window])

        kinds = ((Endpoint.REFUNDS, reversals.add_refund), (Endpoint.DISPUTES, reversals.add_dispute))
        await drain(kinds, walk, len(kinds))
        return reversals

    async def _intents_of(self, charges: Collection[str]) -> set[str]:
        """Resolve charges; one without a PaymentIntent is no payment of ours."""
        found: set[str] = set()

        async def resolve(name: str) -> None:
            charge = await self._connection.retrieve(Endpoint.CHARGES, name)
            intent = None if charge is None else charge.reference("payment_intent")
            if intent is not None:
                found.add(intent)

        await drain(charges, resolve, self._access.workers)
        return found

    def _reader(self, endpoint: Endpoint, **filters: object) -> PageReader:
        async def read(since: int, until: int, after: str | None) -> Page:
            created = {"gte": since, "lt": until}
            return await self._connection.page(endpoint, after=after, created=created, **filters)

        return read


def _nothing(_window: Window, _items: list[None]) -> None:
    """Ask nothing of a window that closed."""
