"""How the worker pool scales; called by dev/scaling, which builds and starts what is needed."""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench.d"))

# The benchmark's modules are found by then.
import costs
import drains
import steady
from machine import describe_machine, warn_if_busy
from servers import Failed, Servers, say

PARTS = {"steady": steady.measure, "drains": drains.measure, "costs": costs.measure}


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="dev/scaling",
        description="Workers of one group under load, and what a reading costs. Alone on the machine.",
        epilog="""parts:
  steady   members come and go under a steady load: lag, standstill, rebalances
  drains   a backlog, drained by 1, 2 and 4 workers
  costs    bytes of WAL, of table and index and in Kafka, and processor time, for each reading

environment (default):
  SCALING_RATE (20000)             readings a second of the steady load
  SCALING_PHASE_SECONDS (12)       how long each number of workers is looked at
  SCALING_BACKLOG (1200000)        readings of a drain
  SCALING_COST_ROWS (2000000)      readings that costs are measured of; a tenth of them at a steady rate""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all, if none is named")
    arguments = parser.parse_args()
    for name in arguments.parts:
        if name not in PARTS:
            parser.error(f"there is no part {name}")
    return arguments


def main():
    wanted = parse_arguments().parts or list(PARTS)
    warn_if_busy()
    with Servers() as servers:
        about = describe_machine(servers)
        for name in wanted:
            say(name)
            print(PARTS[name](servers), end="\n\n", flush=True)
    print(
        "PostgreSQL {postgres}, TimescaleDB {timescaledb}, Kafka, the load and sensorpipe {commit} on the same {cores} cores "
        "({processor}), {memory_gib} GiB.".format(**about)
    )


if __name__ == "__main__":
    os.environ.setdefault("SAY_AS", "scaling")
    try:
        main()
    except Failed as failure:
        say(f"FAILED: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
