"""The files are those that the catalogue and the limits give, byte by byte."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy.conditions import NoBucket, bucket_of
from deploy.files import files
from ucred_pipeline.settings import Rules, Thresholds
from ucred_pipeline_tests.deploy.conftest import DEPLOY, ROOT

#: What is written by hand in the folders of what is made.
BY_HAND: Final = {"grafana/datasource.yml", "grafana/dashboards.yml"}


def test_the_files_are_up_to_date(settings: Rules) -> None:
    """Who changes a limit, an alert or its text runs `make deploy-files`."""
    made = files(settings)
    there = {name: (DEPLOY / name).read_bytes().decode() for name in made}
    assert there == made


def test_no_file_is_left_over(settings: Rules) -> None:
    """What is no longer made is not there."""
    folders = ("prometheus", "alertmanager", "grafana")
    found = (path for name in folders for path in (DEPLOY / name).iterdir() if path.is_file())
    there = {path.relative_to(DEPLOY).as_posix() for path in found}
    assert there == {*files(settings), *BY_HAND}


def test_an_owner_makes_files_with_other_limits(tmp_path: Path) -> None:
    """`python -m deploy FOLDER` with a `ucred.toml` of one's own writes files with its limits."""
    config = tmp_path / "mine.toml"
    config.write_text("[thresholds]\nretry_queue = 77\n", encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "deploy", tmp_path / "made"],
        cwd=ROOT,
        env={**os.environ, "UCRED_CONFIG": str(config), "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )

    assert "ucred_retry_queue_size > 77\n" in (tmp_path / "made/prometheus/rules.yml").read_text("utf-8")


def test_a_latency_between_two_buckets_is_refused() -> None:
    """What the exporter does not count apart cannot be compared with."""
    with pytest.raises(NoBucket, match=r"must be one of 0\.1, .* 2, 5"):
        bucket_of(Thresholds(mint_latency_s=3))
