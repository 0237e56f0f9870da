"""What a first run and a run with nothing new cost, in seconds and memory, by the real command."""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.worlds import UCRED, running_sandbox


def run(env_file: Path, home: Path) -> None:
    """Reconcile once, and print what it took and what was found."""
    began, peak = time.perf_counter(), 0
    command = (*UCRED, "--env-file", str(env_file), "reconcile", "--json")
    environment = os.environ | {"DAGSTER_HOME": str(home)}
    with psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        told = json.loads(process.stdout.read())
    seconds = time.perf_counter() - began
    verdicts = {name: count for name, count in told["verdicts"].items() if count}
    print(
        f"{seconds:7.1f} s   {peak / 2**20:5.0f} MiB   {told['purchases']:,} purchases: {verdicts}",
        flush=True,
    )


def small_world(home: Path) -> None:
    """Run twice on a small world, where Dagster and the start of Python are nearly all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_sandbox(Path(folder), "--purchases", "0", "--no-logs") as settings,
    ):
        env_file = written(settings, Path(folder))
        run(env_file, home)
        run(env_file, home)


def written(settings: dict[str, str], folder: Path) -> Path:
    """Write the settings down, with a ledger of their own."""
    told = settings | {"UCRED_DATABASE_URL": f"sqlite:///{(folder / 'ledger.db').as_posix()}"}
    env_file = folder / "world.env"
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in told.items()), encoding="utf-8")
    return env_file


def main() -> None:
    """Run on a world without logs, three times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--purchases", type=int, default=100_000)
    count = parser.parse_args().purchases
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "dagster"
        print("a small world, where Dagster and the start are nearly all:")
        small_world(home)
        print(f"{count:,} purchases: the first run, and two with nothing new:")
        with running_sandbox(Path(folder), "--purchases", str(count), "--no-logs") as settings:
            env_file = written(settings, Path(folder))
            for _ in range(3):
                run(env_file, home)


if __name__ == "__main__":
    main()
