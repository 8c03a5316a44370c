"""Ports and folders of one run."""

import os
import socket
import zlib
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
HOME = Path(os.environ["CHAOS_HOME"])
SERVERS = HOME / "servers"
LOGS = HOME / "log"
TOXIPROXY = os.environ.get("CHAOS_TOXIPROXY", "toxiproxy-server")
SENSORPIPE = os.environ.get("SENSORPIPE_BIN", "sensorpipe")

WORKERS_AT_MOST = 3
TOPIC, GROUP = "sensor-readings", "sensorpipe"
SENSORS_TOPIC = f"{TOPIC}-{GROUP}-sensors"
# Who reaches Kafka and Postgres through proxies of their own.
CLIENTS = [*(f"worker-{slot}" for slot in range(WORKERS_AT_MOST)), "api"]

# Below what the kernel gives to outgoing connections, so that a server finds its port free when it comes back.
FIRST_PORT, LAST_PORT, BLOCK = 21_000, 31_000, 35


@dataclass(frozen=True)
class Ports:
    """A block of ports on 127.0.0.1."""

    base: int

    @property
    def kafka(self):
        return self.base

    @property
    def controller(self):
        return self.base + 1

    @property
    def kafka_tls(self):
        return self.base + 2

    @property
    def postgres(self):
        return self.base + 3

    @property
    def toxiproxy(self):
        return self.base + 4

    @property
    def http(self):
        return self.base + 5

    def kafka_listener(self, client):
        """Where the broker listens for this client's proxy."""
        return self.base + 6 + CLIENTS.index(client)

    def kafka_proxy(self, client):
        return self.base + 6 + len(CLIENTS) + CLIENTS.index(client)

    def postgres_proxy(self, client):
        return self.base + 6 + 2 * len(CLIENTS) + CLIENTS.index(client)

    def kafka_errors(self, client):
        """Where a proxy listens that overwrites answers, when one runs."""
        return self.base + 6 + 3 * len(CLIENTS) + CLIENTS.index(client)

    def node(self, number):
        """Of a cluster: 0 is the controller, the others are brokers."""
        return self.base + 6 + 4 * len(CLIENTS) + number

    def replica(self, number):
        """Of a primary and its standby, 1 and 2."""
        return self.postgres if number == 1 else self.node(4)

    def replica_proxy(self, client, number):
        return self.postgres_proxy(client) if number == 1 else self.node(5) + CLIENTS.index(client)

    def pooler(self, number):
        """Of up to four."""
        return self.node(5) + len(CLIENTS) + number


def choose_ports():
    """`CHAOS_PORT` and those after it, or else a block that is free, each checkout's search starting elsewhere."""
    if chosen := os.environ.get("CHAOS_PORT"):
        return Ports(int(chosen))
    blocks = (LAST_PORT - FIRST_PORT) // BLOCK
    start = zlib.crc32(str(REPO).encode())
    for number in range(blocks):
        base = FIRST_PORT + (start + number) % blocks * BLOCK
        if all(is_free(port) for port in range(base, base + BLOCK)):
            return Ports(base)
    raise SystemExit(f"no {BLOCK} free ports between {FIRST_PORT} and {LAST_PORT}; set CHAOS_PORT")


def is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
