"""A primary and its standby by dev/replication, in place of the one server of dev/services, and who reaches them how."""

import time
from dataclasses import dataclass
from urllib.parse import urlencode

from places import CLIENTS, SERVERS

NODES = (1, 2)
# PgBouncer's; none is no PgBouncer.
DIRECT, SESSION, TRANSACTION = None, "session", "transaction"
# By default one that met a server while it was down does not look again for 15 s.
POOLER_SETTINGS = "server_login_retry = 1"
STREAMS_WITHIN_S = 30
POOLERS = [(mode, node) for mode in (SESSION, TRANSACTION) for node in NODES]


@dataclass(frozen=True)
class Route:
    """How a process reaches the primary: through PgBouncer or not, knowing both servers or one address that is moved."""

    mode: str | None
    knows_both: bool

    def __str__(self):
        servers = "two hosts" if self.knows_both else "an address that moves"
        return f"{servers}, pool_mode = {self.mode}" if self.mode else servers


def routes_of(client):
    """A worker needs a session of its own."""
    modes = (DIRECT, SESSION, TRANSACTION) if client == "api" else (DIRECT, SESSION)
    return [Route(mode, knows_both) for mode in modes for knows_both in (True, False)]


class Replicas:
    """Each client has two proxies: one before each server, or the first one alone, before the primary."""

    def __init__(self, ports, command, superuser, rng):
        self.ports, self._command, self._superuser = ports, command, superuser
        self.primary = NODES[0]
        self.routes = {client: rng.choice(routes_of(client)) for client in CLIENTS}
        self._poolers = set()

    @property
    def standby(self):
        return NODES[1] if self.primary == NODES[0] else NODES[0]

    def port(self):
        return self.ports.replica(self.primary)

    def command(self, action, *nodes):
        self._command("replication", action, *map(str, nodes))

    def start(self):
        self.command("clean")
        self.command("up")
        for client in CLIENTS:
            self._need_poolers(self.routes[client].mode)

    def stop(self, keep):
        for mode, node in sorted(self._poolers):
            self._pooler("down" if keep else "clean", mode, node)
        self.command("down" if keep else "clean")

    def promote(self):
        """The standby is the primary; whoever knows an address is not told."""
        self.command("promote", self.standby)
        self.primary = self.standby

    def rejoin(self):
        """What was the primary is made a copy of the one that is; returns once that one sends it what is written."""
        self.command("rejoin", self.standby)
        deadline = time.monotonic() + STREAMS_WITHIN_S
        with self._superuser() as session:
            while not session.execute("SELECT FROM pg_stat_replication WHERE state = 'streaming'").fetchall():
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the standby does not stream within {STREAMS_WITHIN_S} s")
                time.sleep(0.1)

    def url(self, client):
        route = self.routes[client]
        nodes = NODES if route.knows_both else NODES[:1]
        hosts = ",".join(f"127.0.0.1:{self.ports.replica_proxy(client, node)}" for node in nodes)
        asked = {"target_session_attrs": "read-write"} if route.knows_both else {}
        return f"postgres://sensorpipe@{hosts}/sensorpipe" + (f"?{urlencode(asked)}" if asked else "")

    def proxies(self):
        return [
            (proxy(client, node), self.ports.replica_proxy(client, node), self._target(client, node))
            for client in CLIENTS
            for node in NODES
        ]

    def proxy_to_primary(self, client):
        """The proxy that leads to the primary."""
        return proxy(client, self.primary if self.routes[client].knows_both else NODES[0])

    def _target(self, client, node):
        route = self.routes[client]
        return self._server(route, node if route.knows_both else self.primary)

    def _server(self, route, node):
        return self.ports.pooler(POOLERS.index((route.mode, node))) if route.mode else self.ports.replica(node)

    def move_addresses(self, toxiproxy, node):
        """To this server, for those who know nothing else; their connections end."""
        for client, route in self.routes.items():
            if not route.knows_both:
                toxiproxy.lead(proxy(client, NODES[0]), self._server(route, node))

    def change_route(self, toxiproxy, client, rng):
        """Another one, for a process that does not run."""
        self.routes[client] = rng.choice([route for route in routes_of(client) if route != self.routes[client]])
        self._need_poolers(self.routes[client].mode)
        for node in NODES:
            toxiproxy.lead(proxy(client, node), self._target(client, node))

    def restart_poolers(self):
        """Whether somebody uses one."""
        for mode, node in sorted(self._poolers):
            self._pooler("down", mode, node)
        time.sleep(0.5)
        for mode, node in sorted(self._poolers):
            self._pooler("up", mode, node)
        return any(route.mode for route in self.routes.values())

    def _need_poolers(self, mode):
        for node in NODES:
            if mode and (mode, node) not in self._poolers:
                self._pooler("up", mode, node)
                self._poolers.add((mode, node))

    def _pooler(self, action, mode, node):
        self._command(
            "pgbouncer", action,
            SENSORPIPE_STATE=str(SERVERS / f"pgbouncer-{mode}-{node}"),
            PGBOUNCER_PORT=str(self.ports.pooler(POOLERS.index((mode, node)))),
            PGBOUNCER_POOL_MODE=mode,
            PGBOUNCER_SETTINGS=POOLER_SETTINGS,
            POSTGRES_PORT=str(self.ports.replica(node)),
        )  # fmt: skip


def proxy(client, node):
    return f"postgres-{client}-{node}"
