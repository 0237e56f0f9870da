"""Alertmanager's settings: its own checker accepts them, and an alert goes where its severity says."""

from datetime import timedelta
from typing import Any, Final

import pytest
import yaml

from deploy.durations import duration
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.settings import Rules
from ucred_pipeline_tests.deploy.conftest import DEPLOY, Program

FILE: Final = DEPLOY / "alertmanager" / "alertmanager.yml"


def written() -> dict[str, Any]:
    """The settings as Alertmanager reads them."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return read


def test_alertmanager_accepts_the_settings(amtool: Program) -> None:
    """`amtool check-config` has nothing to say."""
    assert "SUCCESS" in amtool.accepts("check-config", FILE)


@pytest.mark.parametrize("severity", Severity)
def test_an_alert_goes_where_its_severity_says(amtool: Program, severity: Severity) -> None:
    """Each severity has a receiver of its own."""
    route = ("config", "routes", "test", "--config.file", FILE, f"severity={severity}", "service=ucred")

    assert amtool.accepts(*route, f"--verify.receivers={severity}").splitlines()[-1] == severity


def test_what_nobody_gave_a_severity_is_not_lost(amtool: Program) -> None:
    """An alert without a severity of ours goes where the gravest goes."""
    route = ("config", "routes", "test", "--config.file", FILE, "severity=unheard-of")

    assert amtool.accepts(*route, "--verify.receivers=critical").splitlines()[-1] == "critical"


def test_how_long_it_waits_and_how_often_it_reminds(settings: Rules) -> None:
    """It groups for half a minute, and reminds as often as the built-in alerts do."""
    route = written()["route"]
    reminds = {one["receiver"]: one["repeat_interval"] for one in route["routes"]}

    assert (route["group_wait"], route["group_interval"]) == ("30s", "5m")
    assert reminds == {
        severity: duration(timedelta(seconds=getattr(settings.alerts, f"reminder_{severity}_s")))
        for severity in Severity
    }
    assert reminds["critical"] == "1h"


def test_no_secret_is_in_the_settings() -> None:
    """Where to send stands in files; nothing here is an address or a key."""
    services = [
        service
        for receiver in written()["receivers"]
        for name, listed in receiver.items()
        if name.endswith("_configs")
        for service in listed
    ]

    assert len(services) == 4
    for service in services:
        keys = {key for key in service if "url" in key or "key" in key or "token" in key}
        assert len(keys) == 1
        assert all(
            key.endswith("_file") and service[key].startswith("/etc/alertmanager/secrets/") for key in keys
        )
