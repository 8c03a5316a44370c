"""Runs scenarios in rounds and prints a table; called by dev/bench, which builds and starts what is needed."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import scenarios
import table
from machine import describe_machine, warn_if_busy
from servers import Failed, Servers, say


def parse_arguments():
    lines = [f"  {name:16} {run.__doc__.splitlines()[0]}" for name, run in scenarios.ALL.items()]
    parser = argparse.ArgumentParser(
        prog="dev/bench",
        description="How fast sensorpipe is, beside what the database takes at most and what it replaces. Alone on the machine.",
        epilog="scenarios:\n" + "\n".join(lines) + """

environment (default):
  BENCH_READINGS (2000000)         readings of a drain
  BENCH_LARGE_ROWS (30000000)      rows in the chunk that large-chunk drains into
  BENCH_LATENCY_SECONDS (30)       how long latency is measured
  BENCH_HTTP_SECONDS (12)          how long requests are measured
  BENCH_STATS_ROWS (30000000)      rows of the table that statistics are asked of
  BENCH_ROUNDS (3)                 runs of each scenario; the table has the median
  BENCH_RESULTS (.dev/bench)       where the raw runs go""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all, if none is named")
    arguments = parser.parse_args()
    for name in arguments.scenarios:
        if name not in scenarios.ALL:
            parser.error(f"there is no scenario {name}")
    return arguments


def main():
    wanted = scenarios.with_what_they_need(parse_arguments().scenarios or list(scenarios.ALL))
    rounds = int(os.environ.get("BENCH_ROUNDS", "3"))
    results = Path(os.environ["BENCH_RESULTS"])
    results.mkdir(parents=True, exist_ok=True)
    file = results / time.strftime("%Y-%m-%dT%H%M%SZ.json", time.gmtime())
    warn_if_busy()

    runs, failures = [], []
    with Servers() as servers:
        record = {"machine": describe_machine(servers), "sizes": vars(scenarios.SIZES), "runs": runs}
        # One round after the other, so that a machine that slows down does so to floors and drains alike.
        for number in range(1, rounds + 1):
            for name in wanted:
                say(f"round {number} of {rounds}: {name}")
                try:
                    figures = scenarios.ALL[name](servers)
                except Failed as failure:
                    # The others' figures are good all the same.
                    say(f"  FAILED: {failure}")
                    failures.append(f"{name} in round {number}")
                    continue
                say("  " + ", ".join(f"{key} {table.short(value)}" for key, value in figures.items()))
                runs.append({"round": number, "scenario": name, **figures})
                file.write_text(json.dumps(record, indent=1) + "\n")
    print(table.markdown(runs, record["machine"], record["sizes"]))
    say(f"the raw runs are in {file}")
    if failures:
        raise Failed(", ".join(failures))


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        say(f"FAILED: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
