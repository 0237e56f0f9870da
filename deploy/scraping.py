"""Prometheus' own settings: what it scrapes, where it sends its alerts."""

from dataclasses import dataclass
from typing import Any, Final

from deploy import metrics
from deploy.durations import duration
from ucred_pipeline.domain.alerts import EVERY

RULES: Final = "rules.yml"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the programs are; `token` is the file that has UCRED_SERVE_TOKEN, where one is asked for."""

    exporter: str
    alertmanager: str
    token: str | None = None


ON_ONE_MACHINE: Final = Places("127.0.0.1:8350", "127.0.0.1:9093")
IN_COMPOSE: Final = Places("serve:8350", "alertmanager:9093", token="/run/secrets/ucred_serve_token")  # noqa: S106 - a file


def document(places: Places) -> dict[str, Any]:
    """The file of settings."""
    asked = {"authorization": {"credentials_file": places.token}} if places.token else {}
    return {
        "global": {"scrape_interval": "30s", "evaluation_interval": duration(EVERY)},
        "rule_files": [RULES],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [places.alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": metrics.JOB, "static_configs": [{"targets": [places.exporter]}], **asked},
            {
                "job_name": metrics.ALERTMANAGER_JOB,
                "static_configs": [{"targets": [places.alertmanager]}],
            },
        ],
    }
