"""Dagster's home: it gets our settings, also newer ones, and keeps those that a person changed."""

from pathlib import Path

import pytest

from ucred_pipeline.orchestration import running

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is not there yet."""
    place = tmp_path / "dagster home"
    monkeypatch.setenv("DAGSTER_HOME", str(place))
    return place


def test_the_home_gets_our_settings(home: Path) -> None:
    """A new home is made, with dagster.yaml as it is shipped."""
    assert running.dagster_home() == home.resolve()
    assert (home / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()


def test_newer_settings_replace_older_ones(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that nobody touched follow those that are shipped."""
    running.dagster_home()
    monkeypatch.setattr(running, "_dagster_settings", lambda: "telemetry: {enabled: false}\n")

    running.dagster_home()

    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_what_a_person_changed_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that were changed in the home, or put there before, are kept as they are."""
    running.dagster_home()
    (home / "dagster.yaml").write_text("mine: 1\n")
    monkeypatch.setattr(running, "_dagster_settings", lambda: "newer: 1\n")
    running.dagster_home()
    assert (home / "dagster.yaml").read_text() == "mine: 1\n"

    (home / ".dagster.yaml.shipped").unlink()
    running.dagster_home()

    assert (home / "dagster.yaml").read_text() == "mine: 1\n"


def test_a_run_by_hand_waits_for_no_pool(home: Path) -> None:
    """Where no daemon frees a place nobody waits for one; all else is as the home's settings say."""
    running.dagster_home()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nconcurrency: {pools: {default_limit: 1}}\n"
    )

    with running._history() as instance:
        pools = instance.event_log_storage.get_pool_config()
        assert (pools.pool_granularity.value if pools.pool_granularity else None) == "run"
        assert pools.default_pool_limit == 1
        assert not instance.get_settings("telemetry")["enabled"]
