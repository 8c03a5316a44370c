"""A broker that answers errors: what it did stays done, and its answer says otherwise."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import wire
from faults.fault import BACK, Fault
from places import LOGS
from world import WORKERS

PROXY = Path(__file__).resolve().parent.parent / "lying_broker.py"
ENDS_WITHIN_S = 10
# UNKNOWN_SERVER_ERROR and every code of Kafka 4.1, also those that belong to other requests.
ANY = [-1, *range(1, 134)]
# Where a producer has to take it that nothing was written and sends the same sequence numbers again, which the broker
# knows: CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT,
# BROKER_NOT_AVAILABLE, REPLICA_NOT_AVAILABLE, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, KAFKA_STORAGE_ERROR.
SENT_AGAIN = [2, 3, 5, 6, 7, 8, 9, 19, 20, 56]
READING = {wire.FETCH: ANY, wire.LIST_OFFSETS: ANY, wire.METADATA: ANY}
GROUP = {wire.OFFSET_COMMIT: ANY, wire.JOIN_GROUP: ANY, wire.SYNC_GROUP: ANY, wire.HEARTBEAT: ANY}
PRODUCING = {wire.PRODUCE: SENT_AGAIN, wire.METADATA: ANY}


class Lying:
    """While it is entered, these processes reach Kafka through a proxy that overwrites a share of the answers."""

    def __init__(self, world, clients, codes, share, rng):
        self.world, self.clients, self.share, self.rng = world, clients, share, rng
        self.codes = [f"{api}:{','.join(map(str, of_api))}" for api, of_api in codes.items()]
        self.told = Counter()
        self.proxies = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        ports = self.world.servers.ports
        for client in self.clients:
            listen, broker = ports.kafka_errors(client), ports.kafka_listener(client)
            command = [sys.executable, PROXY, listen, broker, self.share, self.rng.randrange(1 << 30), *self.codes]
            with (LOGS / f"lying-broker-{client}.log").open("a") as log:
                proxy = subprocess.Popen(
                    [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
                )
            self.proxies.append(proxy)
            if proxy.stdout.readline() != b"listens\n":
                raise RuntimeError(f"the proxy for {client} does not start; see {log.name}")
            self.world.toxiproxy.lead(f"kafka-{client}", listen)

    def __exit__(self, *_):
        for client, proxy in zip(self.clients, self.proxies):
            self.world.toxiproxy.lead(f"kafka-{client}", self.world.servers.ports.kafka_listener(client))
            proxy.terminate()
            ended = json.loads(proxy.communicate(timeout=ENDS_WITHIN_S)[0])
            self.told.update({api: sum(codes.values()) for api, codes in ended["told"].items()})
            if ended["problems"]:
                self.world.findings.append(f"answers to {client} are not understood: {ended['problems']}")


def lie(codes, clients_of, provoke=None):
    """`provoke` has the processes ask what they would not otherwise."""

    def run(world, rng, measurement):
        share = rng.choice([0.05, 0.2, 0.5])
        lying = Lying(world, clients_of(world), codes, share, rng)
        with lying:
            if provoke:
                provoke(world)
            time.sleep(rng.uniform(4, 8))
        measurement.back()
        measurement.note = ", ".join(f"{count} {api}" for api, count in lying.told.items())
        if not lying.told:
            measurement.missed("nothing to answer came")

    return run


def workers(world):
    return [worker.name for worker in world.running()]


def workers_and_another(world):
    return [*workers(world), world.workers[WORKERS].name]


def start_another(world):
    """A group whose members come and go joins and synchronises; the run ends the worker after the fault."""
    world.workers[WORKERS].start("--consumers", "1")


FAULTS = [
    Fault("errors-to-readers", "Fetch, ListOffsets and Metadata answered with any error code for some seconds",
          lie(READING, workers), 12, limit_s=10, counts_from=BACK),
    Fault("errors-to-members", "JoinGroup, SyncGroup, Heartbeat and OffsetCommit answered with any error code",
          lie(GROUP, workers_and_another, start_another), 12, limit_s=15, counts_from=BACK),
    Fault("errors-to-producers", "Produce answered with an error though the record is written, and Metadata",
          lie(PRODUCING, lambda _: ["api"]), 8),
]  # fmt: skip
