"""Workers that are members of one consumer group, and how far they are."""

import contextlib
import re
import signal
import subprocess
import time
import urllib.error
from os import environ

from processes import Listener, free_port
from scenarios.tables import add_sensors
from servers import TARGET, Failed, environment, sensorpipe

PARTITIONS = 8
SENSORS = 1_000
# One consumer each, so that a worker is a member.
CONSUMERS = 1
OFFSET = re.compile(r"\[(\d+)\] offset (\d+)")


class Member(Listener):
    """`sensorpipe worker` with one consumer."""

    name = "a worker"
    # SIGKILL is one of the things that are tried.
    good_ends = (0, -signal.SIGKILL)
    ready_path = "/readyz"

    def __init__(self, group, **settings):
        port = free_port()
        env = group.environment(METRICS_ADDR=f"127.0.0.1:{port}", CONSUMERS=str(CONSUMERS), **settings)
        super().__init__([TARGET / "sensorpipe", "worker"], env, port)
        self.rebalances = 0.0

    def metric(self, name):
        """The sum over a metric's labels."""
        text = self.get("/metrics", timeout=5).decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def look(self):
        """How many partitions it has; remembers how many rebalances it saw, for when it is gone."""
        self.rebalances = self.metric("sensorpipe_rebalances_total")
        return int(self.metric("sensorpipe_assigned_partitions"))


class Group:
    """A database, a topic, and the members that move one into the other."""

    def __init__(self, servers, what, topic=None):
        self.kept = contextlib.ExitStack()
        self.topic = topic or servers.new_topic(what)
        self.name = f"{self.topic}_{time.monotonic_ns()}"
        self.database = self.kept.enter_context(servers.database(what))
        self.members, self.gone = [], []
        sensorpipe("migrate", env=self.environment())
        self.session = self.kept.enter_context(self.database.session())
        add_sensors(self.session, SENSORS)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for member in self.members:
            member.__exit__(*error)
        self.kept.close()

    def environment(self, **more):
        own = {"KAFKA_GROUP": self.name, "KAFKA_PARTITIONS": str(PARTITIONS)}
        return environment(self.database, self.topic, **own, **more)

    def start(self, count=1):
        started = [Member(self) for _ in range(count)]
        for member in started:
            self.members.append(member.__enter__())

    def end(self, how, count=1):
        """Sends the signal; whoever gets SIGTERM takes its time, and the others go on meanwhile."""
        for _ in range(count):
            member = self.members.pop()
            member.process.send_signal(how)
            self.gone.append(member)

    def see_off(self):
        for member in self.gone:
            member.process.wait(60)
            member.__exit__(None, None, None)

    def stored(self):
        """The stored offset of each partition."""
        answer = self.session.ask(
            "SELECT coalesce(string_agg(partition || ' ' || next_offset, ','), '') FROM ingest_offsets"
        )
        pairs = [pair.split() for pair in answer.split(",") if pair]
        return {int(partition): int(offset) for partition, offset in pairs}

    def ends(self):
        """The end of each partition's log."""
        asked = [word for number in range(PARTITIONS) for word in ("-t", f"{self.topic}:{number}:-1")]
        command = ["kcat", "-b", environ["KAFKA_BROKERS"], "-Q", *asked]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = {int(number): int(offset) for number, offset in OFFSET.findall(done.stdout)}
        if len(found) != PARTITIONS:
            raise Failed(f"kcat: {done.stderr.strip()[-500:]}")
        return found

    def assigned(self):
        """How many partitions each member has; one that does not answer just now has none."""
        counts = []
        for member in self.members:
            try:
                counts.append(member.look())
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                counts.append(0)
        return counts

    def rebalances(self):
        return sum(member.rebalances for member in [*self.members, *self.gone])
