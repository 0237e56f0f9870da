"""What every step is given: the settings, the ledger, the clock, and where to tell of progress."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from ucred_pipeline.corrections.indexer import HttpIndexerDoor
from ucred_pipeline.corrections.issuing import IssuingRules
from ucred_pipeline.corrections.planning import PlanningRules
from ucred_pipeline.corrections.preflight import Gates
from ucred_pipeline.corrections.settling import SettlingRules
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.limits import Limits
from ucred_pipeline.ledger.corrections import Ceiling
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.purchases import PurchaseRules
from ucred_pipeline.settings import Settings
from ucred_pipeline.sources.indexer import IndexerAccess
from ucred_pipeline.sources.stripe import StripeAccess


class Progress(Protocol):
    """Is told what long work has come to."""

    def __call__(self, step: str, count: int) -> None:
        """`count` things of a step are done."""
        ...


def silent(step: str, count: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The settings, and what they stand for."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    progress: Progress = silent

    def telling(self, progress: Progress) -> "Pipeline":
        """The same, with somebody who is told of progress."""
        return replace(self, progress=progress)

    def stripe(self) -> StripeAccess:
        """Where Stripe is, and how hard it may be asked."""
        rules = self.settings.rules.stripe
        return StripeAccess(
            key=self.settings.require("STRIPE_API_KEY"),
            base=self.settings.environment.stripe_api_base,
            requests_per_second=rules.requests_per_second,
            workers=rules.workers,
            timeout_s=rules.timeout_s,
            attempts=rules.attempts,
            clock_skew=timedelta(seconds=self.settings.rules.indexer.clock_skew_s),
        )

    def indexer(self) -> IndexerAccess:
        """Where the indexer is, and how hard it may be asked."""
        rules = self.settings.rules.indexer
        return IndexerAccess(
            base_url=self.settings.require("RUST_L1_INDEXER"),
            requests_per_minute=rules.requests_per_minute,
            connections=rules.connections,
            timeout_s=rules.timeout_s,
            attempts=rules.attempts,
        )

    def door(self) -> HttpIndexerDoor:
        """The way by which credits are sent."""
        self.settings.refuse_unsafe_crediting()
        return HttpIndexerDoor(
            address=self.settings.require("RUST_L1_INDEXER"),
            token=self.settings.require("RUST_L1_ADMIN_TOKEN"),
            read_timeout_s=self.settings.rules.indexer.timeout_s,
            credit_timeout_s=self.settings.rules.indexer.credit_timeout_s,
            clock=self.clock,
        )

    def purchase_rules(self) -> PurchaseRules:
        """What purchases earn."""
        rules = self.settings.rules
        return PurchaseRules(rules.reward_table(), rules.purchases.friends_and_family_keys)

    def planning_rules(self) -> PlanningRules:
        """The limits of a plan."""
        limits = self.settings.rules.limits
        return PlanningRules(
            Limits(
                corrections_per_run=limits.corrections_per_run,
                wei_per_run=limits.ucred_per_run,
                wei_per_day=limits.ucred_per_day,
                lacking_percent=limits.lacking_percent,
                from_purchases=limits.lacking_percent_from_purchases,
            ),
            share_looks_back=timedelta(days=limits.lacking_percent_days),
        )

    def settling_rules(self) -> SettlingRules:
        """How doubts are settled."""
        rules = self.settings.rules
        return SettlingRules(
            other_writers=rules.evidence.other_writers,
            debits_possible=rules.evidence.debits_possible,
            grace=rules.grace,
            quarantine_after=timedelta(seconds=rules.corrections.quarantine_after_s),
        )

    def gates(self) -> Gates:
        """What must hold before anything is sent."""
        rules = self.settings.rules
        return Gates(
            reviewed_builds=rules.indexer.reviewed_builds,
            clock_skew=timedelta(seconds=rules.indexer.clock_skew_s),
            debits_possible=rules.evidence.debits_possible,
        )

    def issuing_rules(self) -> IssuingRules:
        """How corrections are sent."""
        rules, limits = self.settings.rules, self.settings.rules.limits
        return IssuingRules(
            gates=self.gates(),
            early_429=rules.indexer.answers_429_before_the_effect,
            send_deadline=timedelta(seconds=rules.indexer.send_deadline_s),
            quiescence=timedelta(seconds=rules.indexer.quiescence_s),
            parallel_accounts=rules.indexer.parallel_accounts,
            ceiling=Ceiling(limits.corrections_per_run, limits.ucred_per_run, limits.ucred_per_day),
            backoff=timedelta(seconds=rules.corrections.backoff_s),
            backoff_longest=timedelta(seconds=rules.corrections.backoff_longest_s),
            attempts=rules.corrections.attempts,
            breaker_doubts=rules.corrections.breaker_doubts,
            breaker_openings=rules.corrections.breaker_openings,
            grace=rules.grace,
            pace_s=60 / rules.indexer.credits_per_minute if rules.indexer.credits_per_minute else 0,
        )
