"""Runs every benchmark, one after the other: `python -m benchmarks`, or `make bench`."""

from benchmarks import balances, crediting, first_run, judging, page

for title, benchmark in (
    ("Judging 1,000,000 purchases", judging),
    ("Reading 2,000 balances", balances),
    ("Issuing 424 credits", crediting),
    ("A first run over 100,000 purchases, and runs with nothing new", first_run),
    ("The page and /metrics over 1,000,000 purchases", page),
):
    print(f"\n## {title}\n", flush=True)
    benchmark.main()
