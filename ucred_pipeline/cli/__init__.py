"""The command `ucred`; `contents` says which module holds which of its commands."""

from ucred_pipeline.cli.command import cli, main

__all__ = ["cli", "main"]
