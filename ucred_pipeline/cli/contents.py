"""Which module holds which command of `ucred`: each is imported only when it is asked for."""

from collections.abc import Mapping
from typing import Final

MODULES: Final[Mapping[str, str]] = {
    "alerts": "ucred_pipeline.cli.alerts",
    "approve": "ucred_pipeline.cli.levers",
    "backup": "ucred_pipeline.cli.backups",
    "breaks": "ucred_pipeline.cli.reports",
    "credit": "ucred_pipeline.cli.by_hand",
    "demo": "ucred_pipeline.cli.demo",
    "doctor": "ucred_pipeline.cli.reports",
    "explain": "ucred_pipeline.cli.reports",
    "hold": "ucred_pipeline.cli.levers",
    "reconcile": "ucred_pipeline.cli.reconcile",
    "release": "ucred_pipeline.cli.levers",
    "resolve": "ucred_pipeline.cli.by_hand",
    "restore": "ucred_pipeline.cli.backups",
    "sandbox": "ucred_pipeline.sandbox.command",
    "serve": "ucred_pipeline.cli.serve",
    "status": "ucred_pipeline.cli.reports",
    "verify": "ucred_pipeline.cli.reports",
}
