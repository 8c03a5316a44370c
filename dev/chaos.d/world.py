"""All that a fault can be done to."""

import contextlib
import threading
import time

import psycopg
from confluent_kafka import ConsumerGroupState, KafkaException

from places import GROUP, WORKERS_AT_MOST

# Workers that run when no fault says otherwise, and the consumers of each.
WORKERS, CONSUMERS = 2, 2
GROUP_WITHIN_S, GROWS_WITHIN_S = 30, 10
PARTITIONS, PARTITIONS_AT_MOST = 12, 24


class World:
    """Servers, the proxies before them, the processes that are tested, and who watches them."""

    def __init__(self, servers, toxiproxy, processes, observer, ledger, made_sensors, findings):
        self.servers, self.toxiproxy, self.observer, self.findings = servers, toxiproxy, observer, findings
        self.ledger, self.made_sensors = ledger, made_sensors
        self.api = processes["api"]
        self.workers = [processes[f"worker-{slot}"] for slot in range(WORKERS_AT_MOST)]
        self.http_clients = []
        # The load's transactions, once it runs.
        self.transactions = None
        self._stopping = threading.Event()
        self._guard = threading.Thread(target=self._look_after, daemon=True)

    def start(self):
        self.api.start()
        for worker in self.workers[:WORKERS]:
            worker.start("--consumers", str(CONSUMERS))
        self._guard.start()

    def stop(self):
        self._stopping.set()
        self._guard.join()
        for process in [self.api, *self.workers]:
            process.end()

    def _look_after(self):
        while not self._stopping.wait(0.2):
            for process in [self.api, *self.workers]:
                process.check()

    def running(self):
        return [worker for worker in self.workers if worker.is_meant_to_run]

    def restore(self):
        """As before the fault, but for what only grows: partitions."""
        self.toxiproxy.heal()
        for process in [self.api, *self.workers]:
            process.thaw()
        for extra in self.workers[WORKERS:]:
            if extra.is_meant_to_run:
                extra.terminate()
        for worker in self.workers[:WORKERS]:
            self.ensure(worker, "--consumers", str(CONSUMERS))
        self.ensure(self.api)

    @staticmethod
    def ensure(process, *arguments):
        """Runs with these arguments."""
        if process.is_meant_to_run and process.arguments != [*arguments]:
            process.terminate()
        if not process.is_meant_to_run:
            process.start(*arguments)

    def await_group(self):
        """Until every consumer that runs is a member and has its partitions, and no other is."""
        wanted = sum(int(worker.arguments[1]) for worker in self.running())
        deadline = time.monotonic() + GROUP_WITHIN_S
        seen = "no answer"
        while time.monotonic() < deadline:
            with contextlib.suppress(KafkaException, TimeoutError):
                group = self.servers.group(GROUP)
                assigned = sum(len(member.assignment.topic_partitions) for member in group.members)
                if group.state == ConsumerGroupState.STABLE and len(group.members) == wanted:
                    if assigned == self.observer.partitions:
                        return
                seen = f"{group.state.name}, {len(group.members)} members, {assigned} partitions"
            time.sleep(0.1)
        self.findings.append(f"the group does not settle at {wanted} members within {GROUP_WITHIN_S} s: {seen}")

    def await_writers(self):
        """Until every consumer has a connection to the database and has written by it."""
        wanted = sum(int(worker.arguments[1]) for worker in self.running())
        deadline = time.monotonic() + GROUP_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.Error):
                if len(self.backends("true")) >= wanted:
                    break
            time.sleep(0.05)
        self.observer.await_growth(GROWS_WITHIN_S)
        self.observer.await_stored(GROUP_WITHIN_S)

    def refused_requests(self):
        """How many requests the api has answered with 503."""
        return sum(client.statuses.get(503, 0) for client in self.http_clients)

    def await_taken_requests(self, within_s):
        """Until the api has taken another request of each client; whether it has."""
        before = [client.taken() for client in self.http_clients]
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if all(client.taken() > taken for client, taken in zip(self.http_clients, before)):
                return True
            time.sleep(0.1)
        return False

    def backends(self, condition):
        """Backends of the workers' writers that are as the condition says: rows of (pid, when its state began)."""
        with self.servers.superuser() as session:
            return backends(session, condition)


def backends(session, condition):
    return session.execute(
        "SELECT pid, state_change FROM pg_stat_activity WHERE application_name = 'sensorpipe worker' AND " + condition
    ).fetchall()


IN_COPY = "state = 'active' AND query LIKE 'COPY sensor_data%' AND wait_event = 'ClientRead'"
COMMITTED = "query = 'COMMIT' AND (state = 'active' OR state = 'idle')"


class Slowed:
    """Answers of Postgres to one worker take so long that its statements are seen one by one."""

    DELAY_MS = 150
    WITHIN_S = 25

    def __init__(self, world, worker):
        self.world, self.proxy = world, world.servers.postgres_proxy_of(worker.name)

    def __enter__(self):
        # A writer that has just connected looks for chunks before anything else, statement by statement.
        self.world.await_writers()
        self.world.toxiproxy.add_toxic(self.proxy, "latency", "downstream", latency=self.DELAY_MS, jitter=0)
        return self

    def __exit__(self, *_):
        self.world.toxiproxy.heal()

    def await_copy(self):
        """Until a backend has been in COPY and waiting for so long that it is this worker's; its pid, or none."""
        seen = {}
        deadline = time.monotonic() + self.WITHIN_S
        with contextlib.suppress(psycopg.Error), self.world.servers.superuser() as session:
            while time.monotonic() < deadline:
                now = {pid: since for pid, since in backends(session, IN_COPY)}
                held = [pid for pid, since in now.items() if pid in seen and seen[pid][0] == since]
                for pid in held:
                    if time.monotonic() - seen[pid][1] >= self.DELAY_MS / 1000 / 3:
                        return pid
                seen = {
                    pid: seen[pid] if pid in held else (since, time.monotonic())
                    for pid, since in now.items()
                }
                time.sleep(0.01)
        return None

    def await_commit(self, pid):
        """Until that backend has its COMMIT, the answer to which is still on its way; whether it came."""
        deadline = time.monotonic() + self.WITHIN_S
        with contextlib.suppress(psycopg.Error), self.world.servers.superuser() as session:
            while time.monotonic() < deadline:
                if backends(session, f"pid = {pid} AND {COMMITTED}"):
                    return True
                time.sleep(0.005)
        return False
