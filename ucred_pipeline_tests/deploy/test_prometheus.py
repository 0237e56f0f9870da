"""Prometheus' settings: its own checker accepts them, on one machine and in containers."""

from pathlib import Path
from typing import Final

import pytest

from ucred_pipeline_tests.deploy.conftest import DEPLOY, Program

FOLDER: Final = DEPLOY / "prometheus"
SECRET: Final = "/run/secrets/ucred_serve_token"


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-compose.yml"])
def test_prometheus_accepts_the_settings(promtool: Program, tmp_path: Path, name: str) -> None:
    """`promtool check config` has nothing to say; it looks for the file with the token as well."""
    token = tmp_path / "token"
    token.write_text("a-token-of-the-test", encoding="utf-8")
    settings = (FOLDER / name).read_text("utf-8").replace(SECRET, str(token))
    (tmp_path / name).write_text(settings, encoding="utf-8")
    (tmp_path / "rules.yml").write_bytes((FOLDER / "rules.yml").read_bytes())

    told = promtool.accepts("check", "config", "--lint=all", "--lint-fatal", tmp_path / name)

    assert told.count("SUCCESS") == 3
