"""Three brokers and their controller by dev/cluster, and a primary with a standby, in place of the servers of dev/services."""

import contextlib
import json
import struct
import subprocess
import time
from collections import Counter, deque
from types import SimpleNamespace

from confluent_kafka import (
    OFFSET_END, Consumer, ConsumerGroupState, IsolationLevel, KafkaException, TopicPartition,
)  # fmt: skip
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from places import SENSORPIPE, SENSORS_TOPIC, TOPIC
from processes import environment
from replicas import Replicas
from servers import Servers

CONTROLLER, BROKERS = 0, (1, 2, 3)
IN_SYNC_WITHIN_S, LED_WITHIN_S = 60, 30
ASK_WITHIN_S = 5
RETIRED_AT_MOST = 40


class Cluster(Servers):
    """Nobody is between the processes and the brokers: each listens on one port of its own."""

    replication = 3

    def __init__(self, ports, rng):
        super().__init__(ports)
        self.environment["CLUSTER_PORTS"] = " ".join(str(ports.node(number)) for number in (CONTROLLER, *BROKERS))
        self.environment["REPLICATION_PORTS"] = f"{ports.replica(1)} {ports.replica(2)}"
        self.replicas = Replicas(ports, self.command, self.superuser, rng)
        self._readers, self._retired = {}, deque(maxlen=RETIRED_AT_MOST)
        self.brokers = ",".join(f"127.0.0.1:{ports.node(number)}" for number in BROKERS)

    def brokers_of(self, client):
        return self.brokers

    def start(self):
        self.nodes("clean")
        self.replicas.start()
        self.nodes("up")
        self.renew_admin()
        self.postgres_is_up.set()
        self.kafka_is_up.set()

    def stop(self, keep):
        self.nodes("down" if keep else "clean")
        self.replicas.stop(keep)

    def nodes(self, action, *numbers):
        """`up` returns once each of these nodes, or all of them, answers."""
        self.command("cluster", action, *(str(number) for number in numbers))

    def database_url(self, client):
        return self.replicas.url(client)

    def postgres_proxies(self):
        return self.replicas.proxies()

    def postgres_proxy_of(self, client):
        return self.replicas.proxy_to_primary(client)

    def postgres_port(self):
        return self.replicas.port()

    def postgres(self, how):
        self.replicas.command(how, self.replicas.primary)

    @contextlib.contextmanager
    def without_postgres(self):
        """Until there is a primary again."""
        self.postgres_is_up.clear()
        try:
            yield
        finally:
            self.postgres_is_up.set()

    @contextlib.contextmanager
    def outage(self):
        """Nobody asks Kafka meanwhile."""
        self.kafka_is_up.clear()
        try:
            yield
        finally:
            self.renew_admin()
            self.kafka_is_up.set()

    def client_config(self):
        return {
            "bootstrap.servers": self.brokers,
            "reconnect.backoff.max.ms": 500,
            "metadata.recovery.rebootstrap.trigger.ms": 1_000,
            "log_level": 0,
        }

    def _partitions(self, *names):
        """What a broker says of these topics' partitions; none where none answers."""
        with contextlib.suppress(KafkaException):
            # One that has lived through an outage may go on asking a broker that is away.
            admin = AdminClient(self.client_config())
            topics = admin.list_topics(timeout=ASK_WITHIN_S).topics
            return [partition for name in names for partition in topics[name].partitions.values()]
        return []

    def renew_admin(self):
        """Clients that were used a moment ago are kept: where one ends with an answer under way, so does the process."""
        self._retired += [self.admin, self._readers]
        super().renew_admin()
        self._readers = {}

    def ends(self, partitions, isolation):
        """By consumers, which any number of threads may ask."""
        readers = self._readers
        if isolation not in readers:
            level = "read_committed" if isolation == IsolationLevel.READ_COMMITTED else "read_uncommitted"
            readers[isolation] = Consumer(self.client_config() | {"group.id": "chaos", "isolation.level": level})
        wanted = [TopicPartition(TOPIC, partition, OFFSET_END) for partition in range(partitions)]
        found = readers[isolation].offsets_for_times(wanted, 2)
        for end in found:
            if end.error:
                raise KafkaException(end.error)
        return {end.partition: end.offset for end in found}

    def group(self, name):
        """By the older question: librdkafka ends the process where a coordinator goes away that the admin's was sent to
        (confluentinc/librdkafka#4605)."""
        groups = self.admin.list_groups(name, ASK_WITHIN_S)
        is_stable = any(group.state == "Stable" for group in groups)
        members = [
            SimpleNamespace(assignment=SimpleNamespace(topic_partitions=partitions_of(member.assignment)))
            for group in groups
            for member in group.members
        ]
        state = ConsumerGroupState.STABLE if is_stable else ConsumerGroupState.UNKNOWN
        return SimpleNamespace(state=state, members=members)

    def leader_of_most(self):
        leaders = Counter(partition.leader for partition in self._partitions(TOPIC) if partition.leader in BROKERS)
        return leaders.most_common(1)[0][0] if leaders else BROKERS[0]

    def await_leaders(self, among):
        """Until each partition is led by one of these."""
        is_led = lambda partition: partition.leader in among  # noqa: E731
        self._await([TOPIC], is_led, LED_WITHIN_S, f"partitions are not led by {among}")

    def await_in_sync(self):
        """Until every broker has all that was acknowledged, so that the next fault meets a whole cluster."""
        is_whole = lambda partition: len(partition.isrs) == self.replication and partition.leader in BROKERS  # noqa: E731
        self._await([TOPIC, SENSORS_TOPIC], is_whole, IN_SYNC_WITHIN_S, "replicas do not catch up")

    def _await(self, names, condition, within_s, otherwise):
        deadline = time.monotonic() + within_s
        while not ((partitions := self._partitions(*names)) and all(map(condition, partitions))):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{otherwise} within {within_s} s: {partitions}")
            time.sleep(0.3)

    def set_topic(self, **settings):
        """Settings of the topic, with underscores for dots."""
        resource = ConfigResource(
            ResourceType.TOPIC, TOPIC,
            incremental_configs=[
                ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
                for name, value in settings.items()
            ],
        )  # fmt: skip
        admin = AdminClient(self.client_config())
        self._retired.append(admin)
        for future in admin.incremental_alter_configs([resource], request_timeout=20).values():
            future.result(30)

    def gaps(self):
        """The partitions that `offsets list` calls anything but ok, each with its verdict."""
        done = subprocess.run(
            [SENSORPIPE, "offsets", "list", "--format", "json"],
            env=self._past_the_proxies(), capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        rows = json.loads(done.stdout)
        return {row["partition"]: row["verdict"] for row in rows if row["verdict"] not in ("ok", "not_started")}

    def accept_truncation(self, partitions):
        """As an operator does it; what it says where it refuses."""
        given = ",".join(map(str, partitions))
        command = [SENSORPIPE, "offsets", "accept-truncation", "--partition", given, "--note", "chaos"]
        done = subprocess.run(command, env=self._past_the_proxies(), capture_output=True, check=False, timeout=120)
        return done.stderr.decode(errors="replace") if done.returncode else None

    def _past_the_proxies(self):
        return environment(self, "api") | {"DATABASE_URL": self.direct_url()}


def partitions_of(assignment):
    """The partitions of the topic in a member's assignment: a version, then topics, each with its partitions."""
    partitions, position = [], 2
    if not assignment:
        return partitions
    (topics,) = struct.unpack_from(">i", assignment, position)
    position += 4
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", assignment, position)
        topic = assignment[position + 2 : position + 2 + length].decode()
        position += 2 + length
        (count,) = struct.unpack_from(">i", assignment, position)
        found = struct.unpack_from(f">{count}i", assignment, position + 4)
        position += 4 + 4 * count
        partitions += found if topic == TOPIC else ()
    return partitions
