"""The newest segments of Kafka's own files: how long they are, and what a power cut leaves of them."""

import os

from places import SENSORS_TOPIC, SERVERS, TOPIC

# The readings' topic and the sensors'.
FOLDERS = (f"{TOPIC}-[0-9]*", f"{SENSORS_TOPIC}-0")


def newest(broker):
    """The segment of each partition that is written to."""
    data = SERVERS / "cluster" / str(broker) / "data"
    for pattern in FOLDERS:
        for folder in data.glob(pattern):
            if segments := sorted(folder.glob("*.log")):
                yield segments[-1]


def sizes(brokers):
    return {file: file.stat().st_size for broker in brokers for file in newest(broker)}


def cut(brokers, safe, rng):
    """Takes off what had not reached the disk: some of what was written since the sizes were `safe`. How many bytes."""
    taken = 0
    for broker in brokers:
        for file in sorted(newest(broker)):
            size = file.stat().st_size
            left = rng.randint(min(safe.get(file, 0), size), size)
            os.truncate(file, left)
            taken += size - left
    return taken
