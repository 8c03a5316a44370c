"""Kafka and Postgres of the run's own, by dev/services. The direct connections here go past the proxies."""

import contextlib
import os
import subprocess
import threading
import time

import psycopg
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, OffsetSpec

from places import CLIENTS, LOGS, REPO, SERVERS, TOPIC

BACK_WITHIN_S, DONE_WITHIN_S = 60, 300
# Whom dev/services makes a password for. The run's own clients are this user, so that no rule for others strikes them.
SUPER_USER = "sensorpipe"


class Servers:
    """`up`, `down` and `kill` are what dev/services does."""

    replication = 1

    def __init__(self, ports):
        self.ports = ports
        proxied = " ".join(
            f"{client.upper().replace('-', '_')}:{ports.kafka_listener(client)}:{ports.kafka_proxy(client)}"
            for client in CLIENTS
        )
        self.environment = {
            **os.environ,
            "SENSORPIPE_STATE": str(SERVERS),
            "KAFKA_PORT": str(ports.kafka),
            "KAFKA_CONTROLLER_PORT": str(ports.controller),
            "KAFKA_TLS_PORT": str(ports.kafka_tls),
            "KAFKA_PROXIED": proxied,
            "KAFKA_SUPER_USER": SUPER_USER,
            "POSTGRES_PORT": str(ports.postgres),
        }
        self.brokers = f"127.0.0.1:{ports.kafka}"
        self.admin = None
        self.postgres_is_up = threading.Event()
        self.kafka_is_up = threading.Event()

    def brokers_of(self, client):
        """What a process of sensorpipe is given."""
        return f"127.0.0.1:{self.ports.kafka_proxy(client)}"

    def database_url(self, client):
        return f"postgres://sensorpipe@127.0.0.1:{self.ports.postgres_proxy(client)}/sensorpipe"

    def postgres_proxies(self):
        """(name, where it listens, where it leads)."""
        return [(f"postgres-{client}", self.ports.postgres_proxy(client), self.ports.postgres) for client in CLIENTS]

    def postgres_proxy_of(self, client):
        """The proxy through which this client writes."""
        return f"postgres-{client}"

    def direct_url(self):
        return f"postgres://sensorpipe@127.0.0.1:{self.postgres_port()}/sensorpipe"

    def postgres_port(self):
        """Of the server that takes writes."""
        return self.ports.postgres

    def services(self, *arguments):
        self.command("services", *arguments)

    def command(self, name, *arguments, **environment):
        """One of the programs in dev/."""
        with (LOGS / f"{name}.log").open("a") as log:
            command = [REPO / "dev" / name, *arguments]
            subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=DONE_WITHIN_S,
                env=self.environment | environment,
            )  # fmt: skip

    def start(self):
        self.services("clean")
        self.services("up")
        self.renew_admin()
        self.postgres_is_up.set()
        self.kafka_is_up.set()

    def client_config(self):
        """For Kafka clients of our own. One that has lived through a crash of the only broker may have forgotten it
        (librdkafka from 2.10 on): it starts over soon."""
        tls = SERVERS / "tls"
        return {
            "bootstrap.servers": f"127.0.0.1:{self.ports.kafka_tls}",
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(tls / "ca.pem"),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": SUPER_USER,
            "sasl.password": (tls / "kafka-password").read_text(),
            "reconnect.backoff.max.ms": 500,
            "metadata.recovery.rebootstrap.trigger.ms": 1_000,
            "log_level": 0,
        }

    def renew_admin(self):
        """It asks for the ends of the log by the leaders' epochs that it has heard of, and never for new ones."""
        self.admin = AdminClient(self.client_config())

    def ends(self, partitions, isolation):
        """The last stable offset of each of so many partitions, or its end."""
        wanted = {TopicPartition(TOPIC, partition): OffsetSpec.latest() for partition in range(partitions)}
        futures = self.admin.list_offsets(wanted, isolation_level=isolation, request_timeout=2)
        return {asked.partition: future.result(5).offset for asked, future in futures.items()}

    def stop(self, keep):
        self.services("down" if keep else "clean")

    def stop_postgres(self, how):
        self.postgres_is_up.clear()
        self.postgres(how)

    def postgres(self, how):
        self.services(how, "postgres")

    def start_postgres(self, on_answer):
        """Calls `on_answer` at the moment when it answers a query again, which dev/services sees later."""
        starting = threading.Thread(target=self.postgres, args=("up",))
        starting.start()
        self._await_answer()
        self.postgres_is_up.set()
        on_answer()
        starting.join()

    def _await_answer(self):
        deadline = time.monotonic() + BACK_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError), self.superuser() as session:
                session.execute("SELECT")
                return
            time.sleep(0.02)
        raise RuntimeError(f"Postgres is not back within {BACK_WITHIN_S} s")

    def stop_kafka(self, how):
        self.kafka_is_up.clear()
        self.services(how, "kafka")

    def start_kafka(self):
        self.services("up", "kafka")
        self.renew_admin()
        self.kafka_is_up.set()

    def superuser(self):
        return self._session("postgres")

    def reader(self):
        return self._session("sensorpipe")

    def _session(self, user):
        return psycopg.connect(
            host="127.0.0.1", port=self.postgres_port(), user=user, dbname="sensorpipe", connect_timeout=3,
            application_name="chaos", sslmode="disable", autocommit=True,
        )  # fmt: skip

    def add_partitions(self, total):
        future = self.admin.create_partitions([NewPartitions(TOPIC, total)])[TOPIC]
        future.result(20)

    def group(self, name):
        return self.admin.describe_consumer_groups([name], request_timeout=5)[name].result(10)
