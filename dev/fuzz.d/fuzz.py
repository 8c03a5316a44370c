"""Runs fuzz targets one after the other and prints a table; called by dev/fuzz, which builds them."""

import argparse
import os
import signal
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
    deadline = time.monotonic() + arguments.seconds if arguments.seconds else None
    state, binaries, repo = (Path(os.environ[f"FUZZ_{place}"]) for place in ("STATE", "BINARIES", "REPO"))
    tallies = {}
    for name in arguments.targets or TARGETS:
        target = Target(name, state, binaries, repo)
        tally = tallies[name] = Tally(target.folder / "tally.json", target.build())
        missing = arguments.executions - tally.executions
        if missing > 0 and (deadline is None or time.monotonic() < deadline):
            say(f"{name}: {missing:,} executions")
            tally.add(target.run(missing, arguments.jobs, deadline))
        if arguments.minimize:
            files, size = target.minimize()
            say(f"{name}: {files} inputs, {size:,} bytes in fuzz/corpus")
    print(markdown(tallies))
    crashes = [f"{name}: {crash}" for name, tally in tallies.items() for crash in tally.crashes]
    for crash in crashes:
        say(f"FAILED: {crash}")
    return 1 if crashes else 0


if __name__ == "__main__":
    # As Ctrl-C: the processes of a target end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
