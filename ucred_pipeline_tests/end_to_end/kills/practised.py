"""Runs the command once to its end where this is imported: in the process from which others are forked.

What a first run imports, builds and compiles is then in the memory of all of them, and takes nobody's time.
"""

import io
import os
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from ucred_pipeline import cli
from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.end_to_end.kills import boundaries
from ucred_pipeline_tests.end_to_end.rehearsal import NO_LIMITS, Rehearsal

__all__ = ["boundaries"]


def _practise() -> None:
    """Reconcile a small world, in which something lacks, with Dagster's history on disk."""
    spec = SandboxSpec(purchases=20, lacking_share=0.2, special_cases=False, lost_answers=0)
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Rehearsal(Path(folder), spec, rules=NO_LIMITS, real_time=True) as world,
    ):
        told = ["ucred", "--env-file", str(world.env_file), "reconcile", "--apply", "--json"]
        with (
            mock.patch.object(sys, "argv", told),
            mock.patch.dict(os.environ, {"DAGSTER_HOME": str(world.dagster_home)}),
            redirect_stdout(io.StringIO()),
            suppress(SystemExit),
        ):
            cli.main()
        if world.sent() != world.owed():
            raise RuntimeError("the run before all others credited too little")


_practise()
