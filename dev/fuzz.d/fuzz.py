"""Runs fuzz targets one after the other and prints a table; called by dev/fuzz, which builds them."""

import argparse
import os
import sys
import time
from pathlib import Path

from target import TARGETS, Target
from tally import Tally, markdown


def say(text):
    print(f"fuzz: {text}", file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="dev/fuzz",
        description="Runs each fuzz target until it has so many executions of its present build, and prints what came of it. "
        "What was run before counts, so it may be stopped and started again.",
        epilog="targets: " + ", ".join(TARGETS),
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, if none is named")
    parser.add_argument("--executions", type=int, default=1_000_000, metavar="N", help="of each target (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time (%(default)s)")
    parser.add_argument("--seconds", type=int, metavar="N", help="stop after so long, whatever is done by then")
    parser.add_argument(
        "--minimize", action="store_true", help="then put the inputs that reach everything into fuzz/corpus"
    )
    arguments = parser.parse_args()
    for name in arguments.targets:
        if name not in TARGETS:
            parser.error(f"there is no target {name}")
    if arguments.executions < 1 or arguments.jobs < 1:
        parser.error("executions and jobs are 1 at least")
    return arguments


def main():
    arguments = parse_arguments()
    state = Path(os.environ["FUZZ_STATE"])
    tally = Tally(state / "tally.json")
    deadline = time.monotonic() + arguments.seconds if arguments.seconds else None
    names = arguments.targets or list(TARGETS)
    for name in names:
        target = Target(name, state, Path(os.environ["FUZZ_BINARIES"]), Path(os.environ["FUZZ_REPO"]))
        tally.begin(name, target.build())
        missing = arguments.executions - tally.executions(name)
        if missing > 0 and (deadline is None or time.monotonic() < deadline):
            say(f"{name}: {missing:,} executions")
            tally.add(name, target.run(missing, arguments.jobs, deadline))
        if arguments.minimize:
            files, size = target.minimize()
            say(f"{name}: {files} inputs, {size:,} bytes in fuzz/corpus")
    print(markdown(names, tally))
    crashes = [crash for name in names for crash in tally.crashes(name)]
    for crash in crashes:
        say(f"FAILED: {crash}")
    return 1 if crashes else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
