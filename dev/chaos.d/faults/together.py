"""Two faults at a time: what neither would bring about alone."""

import random
import threading

from faults import kafka, network, postgres, workers
from faults.fault import Fault, Measurement

SINGLE = {fault.kind: fault for module in (workers, postgres, kafka, network) for fault in module.FAULTS}
# Each pair leaves the other's target alone.
PAIRS = [
    ("deploy", "postgres-restarted"),
    ("deploy", "kafka-crashed"),
    ("worker-killed", "postgres-crashed"),
    ("worker-killed", "kafka-restarted"),
    ("worker-frozen", "backends-ended"),
    ("worker-frozen", "postgres-crashed"),
    ("worker-added", "cut-after-bytes"),
    ("consumers-changed", "partitions-added"),
    ("api-killed", "kafka-crashed"),
    ("postgres-crashed", "kafka-crashed"),
]


def run(world, rng, measurement):
    pair = rng.choice(PAIRS)
    measurement.note = " and ".join(pair)
    seeds = [rng.random(), rng.random()]
    failures = []

    def one(kind, seed):
        try:
            SINGLE[kind].run(world, random.Random(seed), Measurement(world.observer))
        except Exception as failure:  # noqa: BLE001 - handed on below
            failures.append(failure)

    threads = [threading.Thread(target=one, args=arguments) for arguments in zip(pair, seeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    measurement.back()


FAULTS = [Fault("two-at-once", "two of the others at the same time", run, 8)]
