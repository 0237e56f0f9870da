"""The files that are made, by their places in `deploy/`."""

from collections.abc import Mapping
from typing import Any, Final

from deploy import dashboard, routing, rule_tests, rules, scraping
from deploy.yaml_text import yaml_text
from ucred_pipeline.settings import Rules

_MADE: Final = "# Made by `python -m deploy` from the catalogue of alerts and ucred.toml. Do not edit.\n"
_FOLDER: Final = "prometheus"


def files(settings: Rules) -> Mapping[str, str]:
    """Give the text of every file."""
    limits = settings.thresholds
    return {
        f"{_FOLDER}/{scraping.RULES}": _yaml(rules.document(limits)),
        f"{_FOLDER}/rules_test.yml": _yaml(rule_tests.document(scraping.RULES, limits)),
        f"{_FOLDER}/rules_hourly_test.yml": _yaml(rule_tests.hourly_document(scraping.RULES, limits)),
        f"{_FOLDER}/prometheus.yml": _yaml(scraping.document(scraping.ON_ONE_MACHINE)),
        f"{_FOLDER}/prometheus-compose.yml": _yaml(scraping.document(scraping.IN_COMPOSE)),
        "alertmanager/alertmanager.yml": _yaml(routing.document(settings.alerts)),
        "grafana/ucred.json": dashboard.text(limits),
    }


def _yaml(document: Any) -> str:
    return _MADE + yaml_text(document)
