"""Alertmanager's settings: whom an alert goes to by its severity, and how often it reminds.

Where to send stands in files that the owner makes: nothing here is a secret.
"""

from datetime import timedelta
from typing import Any, Final

from deploy.durations import duration
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.settings import Alerts

#: In this folder Alertmanager finds the addresses and keys; docs/deploy.md lists them.
SECRETS: Final = "/etc/alertmanager/secrets"
_GROUP_WAIT: Final = timedelta(seconds=30)
_GROUP_INTERVAL: Final = timedelta(minutes=5)


def document(alerts: Alerts) -> dict[str, Any]:
    """The file of settings; what nobody gave a severity goes where the gravest goes."""
    reminders = {
        Severity.CRITICAL: alerts.reminder_critical_s,
        Severity.WARNING: alerts.reminder_warning_s,
        Severity.INFO: alerts.reminder_info_s,
    }
    return {
        "route": {
            "receiver": Severity.CRITICAL.value,
            "group_by": ["service", "alertname"],
            "group_wait": duration(_GROUP_WAIT),
            "group_interval": duration(_GROUP_INTERVAL),
            "repeat_interval": duration(timedelta(seconds=reminders[Severity.CRITICAL])),
            "routes": [_route(severity, seconds) for severity, seconds in reminders.items()],
        },
        "receivers": [_receiver(severity) for severity in Severity],
    }


def _route(severity: Severity, seconds: int) -> dict[str, Any]:
    return {
        "matchers": [f'severity="{severity}"'],
        "receiver": severity.value,
        "repeat_interval": duration(timedelta(seconds=seconds)),
    }


def _receiver(severity: Severity) -> dict[str, Any]:
    """A chat's channel for each severity, and for the gravest somebody is woken."""
    slack = {
        "api_url_file": f"{SECRETS}/slack_{severity}_url",
        "send_resolved": True,
        "title": _TITLE,
        "text": _TEXT,
    }
    receiver = {"name": severity.value, "slack_configs": [slack]}
    if severity is Severity.CRITICAL:
        woken = {
            "routing_key_file": f"{SECRETS}/pagerduty_routing_key",
            "send_resolved": True,
            "description": _TITLE,
        }
        receiver["pagerduty_configs"] = [woken]
    return receiver


#: A group stays firing while any of its alerts fires, so that each is told by itself.
_TITLE: Final = "[{{ .Status | toUpper }}] UCRED {{ .CommonLabels.alertname }}"
_TEXT: Final = (
    "{{ range .Alerts }}{{ .Status | toUpper }}: {{ .Annotations.summary }} {{ .Annotations.description }} "
    "What to do: {{ .Annotations.runbook }}\n{{ end }}"
)
