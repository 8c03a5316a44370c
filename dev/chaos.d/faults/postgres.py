"""Faults of the database and of the way to it."""

import time

from faults.fault import BACK, Fault
from world import Slowed


def restart(world, rng, measurement):
    """Fast shutdown: backends are ended, what is in flight is rolled back."""
    world.servers.stop_postgres("down")
    time.sleep(rng.uniform(0, 4))
    world.servers.start_postgres(measurement.back)


def crash(world, rng, measurement):
    """SIGKILL of the whole server; it recovers from its log."""
    world.servers.stop_postgres("kill")
    time.sleep(rng.uniform(0, 2))
    world.servers.start_postgres(measurement.back)


def end_backends(world, rng, measurement):
    for _ in range(rng.randint(1, 3)):
        with world.servers.superuser() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sensorpipe%'"
            )
        time.sleep(rng.uniform(0, 0.3))
    measurement.back()


def cut_in_copy(world, rng, measurement):
    """The connection ends while its backend is in COPY and waits for rows."""
    worker = rng.choice(world.running())
    with Slowed(world, worker) as slowed:
        if not slowed.await_copy():
            measurement.missed("no COPY seen")
        world.toxiproxy.cut(slowed.proxy)
    measurement.back()


def cut_in_commit(world, rng, measurement):
    """The connection ends after COMMIT has reached the server and before its answer has reached the worker."""
    worker = rng.choice(world.running())
    with Slowed(world, worker) as slowed:
        pid = slowed.await_copy()
        if not pid or not slowed.await_commit(pid):
            measurement.missed("no COMMIT seen")
        world.toxiproxy.cut(slowed.proxy)
    measurement.back()


def cut_after_bytes(world, rng, measurement):
    """Each connection of a worker ends after so many bytes to the server, most of which are rows of COPY."""
    worker = rng.choice(world.running())
    proxy = world.servers.postgres_proxy_of(worker.name)
    world.toxiproxy.add_toxic(proxy, "limit_data", "upstream", bytes=rng.choice([500, 2_000, 8_000, 30_000]))
    time.sleep(rng.uniform(0.5, 2))
    world.toxiproxy.heal()
    measurement.back()


def reset_connections(world, rng, measurement):
    worker = rng.choice(world.running())
    world.toxiproxy.add_toxic(world.servers.postgres_proxy_of(worker.name), "reset_peer", "downstream", timeout=rng.randint(0, 200))
    time.sleep(rng.uniform(0.3, 1.5))
    world.toxiproxy.heal()
    measurement.back()


FAULTS = [
    Fault("postgres-restarted", "Postgres stopped (fast) and started", restart, 12, limit_s=3, counts_from=BACK),
    Fault("postgres-crashed", "SIGKILL of Postgres, then its recovery", crash, 10, limit_s=3, counts_from=BACK),
    Fault("backends-ended", "pg_terminate_backend of all of sensorpipe's", end_backends, 24),
    Fault("cut-in-copy", "a worker's connections to Postgres cut in mid-COPY", cut_in_copy, 16),
    Fault("cut-in-commit", "a worker's connections to Postgres cut between COMMIT and its answer", cut_in_commit, 16),
    Fault("cut-after-bytes", "a worker's connections to Postgres cut after so many bytes", cut_after_bytes, 10),
    Fault("connections-reset", "a worker's connections to Postgres reset", reset_connections, 8),
]
