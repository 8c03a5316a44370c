"""Faults of the broker and changes of the topic."""

import time

from faults.fault import Fault
from world import PARTITIONS_AT_MOST

# After a topic has grown clients hear of it with their next look at its metadata.
HEARD_OF_WITHIN_S = 25
# After an outage producers take a moment; before they are there, nothing waits.
GROWS_WITHIN_S = 20


def restart(world, rng, measurement):
    world.servers.stop_kafka("down")
    time.sleep(rng.uniform(0, 2))
    world.servers.start_kafka()
    measurement.back()
    world.observer.await_growth(GROWS_WITHIN_S)


def crash(world, rng, measurement):
    world.servers.stop_kafka("kill")
    time.sleep(rng.uniform(0, 2))
    world.servers.start_kafka()
    measurement.back()
    world.observer.await_growth(GROWS_WITHIN_S)


def add_partitions(world, rng, measurement):
    total = world.observer.partitions + rng.randint(1, 3)
    if total > PARTITIONS_AT_MOST:
        return measurement.missed(f"the topic has {world.observer.partitions} already")
    world.servers.add_partitions(total)
    world.observer.partitions = total
    measurement.note = f"{total} now"
    measurement.back()
    # Until somebody produces there, nothing in them waits.
    time.sleep(1)
    world.observer.await_stored(HEARD_OF_WITHIN_S)
    return None


FAULTS = [
    Fault("kafka-restarted", "Kafka stopped and started", restart, 3),
    Fault("kafka-crashed", "SIGKILL of Kafka, then its recovery", crash, 5),
    Fault("partitions-added", "the topic gets more partitions", add_partitions, 5),
]
