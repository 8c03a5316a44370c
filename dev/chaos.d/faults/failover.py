"""Faults of a primary with a standby, and of PgBouncer before them. Each ends with two servers."""

import time

from faults.fault import BACK, Fault

# From the moment when the new primary takes writes.
PROMOTED_LIMIT_S = 5
# So long the standby hears nothing: what is written meanwhile is lost with the primary.
BEHIND_S = (0.5, 5)
BOTH_WRITE_S = (0.5, 5)
GROWS_WITHIN_S = 20


def promote_behind(world, rng, measurement):
    """The primary dies; what its standby had not heard of is gone."""
    behind_s = fall_behind(world, rng)
    with world.servers.without_postgres():
        world.servers.replicas.command("kill", world.servers.replicas.primary)
        fail_over(world, rng, measurement)
    measurement.note = f"{behind_s:.1f} s behind, {measurement.note}"
    take_back(world)


def promote_beside_the_old(world, rng, measurement):
    """The primary falls silent, comes back after the standby has taken over, and takes itself for the primary."""
    behind_s = fall_behind(world, rng)
    old = world.servers.replicas.primary
    with world.servers.without_postgres():
        world.servers.replicas.command("freeze", old)
        world.observer.drop_session()
        fail_over(world, rng, measurement)
    world.observer.drop_session()
    world.servers.replicas.command("thaw", old)
    time.sleep(rng.uniform(*BOTH_WRITE_S))
    world.servers.replicas.command("kill", old)
    measurement.note = f"{behind_s:.1f} s behind, {measurement.note}"
    take_back(world)


def switch_over(world, rng, measurement):
    """The primary shuts down in order, which hands all there is to its standby."""
    with world.servers.without_postgres():
        world.servers.replicas.command("down", world.servers.replicas.primary)
        fail_over(world, rng, measurement)
    take_back(world)


def fall_behind(world, rng):
    behind_s = rng.uniform(*BEHIND_S)
    world.servers.replicas.command("detach", world.servers.replicas.standby)
    time.sleep(behind_s)
    return behind_s


def fail_over(world, rng, measurement):
    """Addresses are moved before the standby takes writes, or after."""
    replicas, is_early = world.servers.replicas, rng.random() < 0.5
    measurement.note = f"addresses moved {'before' if is_early else 'after'}"
    if is_early:
        replicas.move_addresses(world.toxiproxy, replicas.standby)
    replicas.promote()
    measurement.back()
    if not is_early:
        replicas.move_addresses(world.toxiproxy, replicas.primary)


def take_back(world):
    if not world.observer.await_growth(GROWS_WITHIN_S):
        world.findings.append(f"nothing comes in for {GROWS_WITHIN_S} s after a promotion")
    world.servers.replicas.rejoin()


def change_route(world, rng, measurement):
    """PgBouncer put in between or taken out; two hosts in place of an address that moves."""
    process = rng.choice([*world.running(), world.api])
    arguments = process.arguments
    process.terminate()
    world.servers.replicas.change_route(world.toxiproxy, process.name, rng)
    process.environment["DATABASE_URL"] = world.servers.database_url(process.name)
    measurement.note = f"{process.name}: {world.servers.replicas.routes[process.name]}"
    process.start(*arguments)
    measurement.back()


def restart_poolers(world, _, measurement):
    if not world.servers.replicas.restart_poolers():
        measurement.missed("nobody has one in between")
    measurement.back()


FAULTS = [
    Fault(
        "promoted-behind", "SIGKILL of the primary, and its standby, which is behind, takes over",
        promote_behind, 20, limit_s=PROMOTED_LIMIT_S, counts_from=BACK,
    ),
    Fault(
        "two-primaries", "the primary frozen, its standby promoted, and the old primary back beside it",
        promote_beside_the_old, 10, limit_s=PROMOTED_LIMIT_S, counts_from=BACK,
    ),
    Fault("switched-over", "the primary stopped in order and its standby promoted", switch_over, 8, limit_s=PROMOTED_LIMIT_S, counts_from=BACK),
    Fault("route-changed", "a process restarted with PgBouncer in between or without, by two hosts or one address", change_route, 10),
    Fault("pgbouncer-restarted", "every PgBouncer stopped and started", restart_poolers, 6),
]  # fmt: skip
