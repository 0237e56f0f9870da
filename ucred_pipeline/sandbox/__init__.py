"""A whole outside world on loopback: Stripe, the indexer, and the payments API's database and logs."""

from ucred_pipeline.sandbox.faults import Faults, UnknownFault
from ucred_pipeline.sandbox.sandbox import Sandbox
from ucred_pipeline.sandbox.spec import SandboxSpec
from ucred_pipeline.sandbox.truth import AccountTruth, PurchaseTruth, Truth, Verdict

__all__ = [
    "AccountTruth",
    "Faults",
    "PurchaseTruth",
    "Sandbox",
    "SandboxSpec",
    "Truth",
    "UnknownFault",
    "Verdict",
]
