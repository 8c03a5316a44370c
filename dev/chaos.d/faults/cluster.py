"""Faults of three brokers and their controller. Each ends with a cluster that is whole again."""

import time

import segment_tails
from cluster import BROKERS, CONTROLLER
from faults.fault import BACK, Fault

# Killed, a broker is taken for dead once its session of 4 s is over (dev/kafka/cluster.properties).
LEADER_LIMIT_S = 10
# Members whose session ended meanwhile join anew, and the group waits for a session (10 s) for those that they were.
REJOINED_LIMIT_S = 15
CONTROLLER_AWAY_S = 6
GROWS_WITHIN_S = 20
# What a client needs to hear that brokers are gone, and to forget them.
FORGOTTEN_AFTER_S = (5, 14)
# Readings that one broker alone acknowledges and workers store, before it is gone with them.
ALONE_S = 4
# Readings that no broker has flushed.
UNFLUSHED_S = (1, 4)
# After an acknowledgement was sent its sender may still be reading it.
ANSWERS_WITHIN_S = 1
NAMED_WITHIN_S = 30
ACCEPTED_AT_MOST, HEALS_WITHIN_S = 3, 2
# What accept-truncation says of a partition that is well by now.
HEALED = "has no such gap (ok)"


def kill_leader(world, rng, measurement):
    """SIGKILL of the broker that leads most partitions."""
    leader = world.servers.leader_of_most()
    measurement.note = f"broker {leader}"
    world.servers.nodes("kill", leader)
    time.sleep(rng.uniform(1, 6))
    return_of(world, measurement, leader)


def stop_broker(world, rng, measurement):
    """SIGTERM of one: it hands its partitions over."""
    broker = rng.choice(BROKERS)
    measurement.note = f"broker {broker}"
    world.servers.nodes("down", broker)
    time.sleep(rng.uniform(0, 4))
    return_of(world, measurement, broker)


def kill_controller(world, rng, measurement):
    """Without it no partition gets another leader."""
    world.servers.nodes("kill", CONTROLLER)
    time.sleep(rng.uniform(1, CONTROLLER_AWAY_S))
    return_of(world, measurement, CONTROLLER)


def stop_two_and_then_the_third(world, rng, measurement):
    """Two stop, clients forget them; the last one stops, and the two come back: whoever knows the last one alone waits
    for ever."""
    first, second, third = rng.sample(BROKERS, 3)
    measurement.note = f"broker {third} last"
    world.servers.nodes("down", first, second)
    time.sleep(rng.uniform(*FORGOTTEN_AFTER_S))
    with world.servers.outage():
        world.servers.nodes("down", third)
        world.servers.nodes("up", first, second)
    measurement.back()
    world.observer.await_growth(GROWS_WITHIN_S)
    world.servers.nodes("up", third)
    world.servers.await_in_sync()


def cut_power(world, rng, measurement):
    """SIGKILL of all at once; sometimes Postgres goes with them."""
    has_postgres = rng.random() < 0.5
    measurement.note = "with Postgres" if has_postgres else ""
    with world.servers.outage():
        world.servers.nodes("kill", CONTROLLER, *BROKERS)
        if has_postgres:
            world.servers.stop_postgres("kill")
            world.servers.start_postgres(lambda: None)
        world.servers.nodes("up")
    measurement.back()
    world.observer.await_growth(GROWS_WITHIN_S)
    world.servers.await_in_sync()


def elect_uncleanly(world, rng, measurement):
    """One broker alone acknowledges, and is gone when the two others come back: what it had is cut off the log."""
    world.servers.set_topic(min_insync_replicas="1", unclean_leader_election_enable="true")
    try:
        cut_logs(world, rng)
    finally:
        world.servers.set_topic(min_insync_replicas="2", unclean_leader_election_enable="false")
    world.servers.await_in_sync()
    measurement.back()
    go_on_past_gaps(world, measurement)


def cut_power_and_tails(world, rng, measurement):
    """All at once, and of what was written just before no broker has all."""
    with world.transactions.paused(world.observer):
        world.servers.await_in_sync()
        with world.ledger.at_risk(), world.made_sensors.at_risk():
            safe = segment_tails.sizes(BROKERS)
            time.sleep(rng.uniform(*UNFLUSHED_S))
            world.servers.kafka_is_up.clear()
            world.servers.nodes("kill", CONTROLLER, *BROKERS)
            time.sleep(ANSWERS_WITHIN_S)
        with world.servers.outage():
            taken = segment_tails.cut(BROKERS, safe, rng)
            world.servers.nodes("up")
        world.servers.await_in_sync()
    measurement.back()
    go_on_past_gaps(world, measurement)
    if taken:
        measurement.note = f"{taken:,} bytes, {measurement.note}"
    else:
        measurement.missed("nothing was written that could be cut off")


def go_on_past_gaps(world, measurement):
    """As an operator does it, who is told of each log that was cut."""
    world.observer.await_growth(GROWS_WITHIN_S)
    gaps = first = await_named_gaps(world)
    tries = 0
    while gaps and (refusal := world.servers.accept_truncation(sorted(gaps))):
        tries += 1
        # A broker that has just begun to lead does not know yet that others have its last records.
        if HEALED not in refusal or tries == ACCEPTED_AT_MOST:
            raise RuntimeError(f"accept-truncation of {sorted(gaps)}: {refusal[:500]}")
        time.sleep(HEALS_WITHIN_S)
        gaps = await_named_gaps(world)
    if gaps:
        world.ledger.is_read_again = True
    healed = f", {len(first) - len(gaps)} of which were none" if len(first) > len(gaps) else ""
    kinds = ", ".join(sorted(set(first.values())))
    measurement.note = f"{len(first)} logs cut: {kinds}{healed}" if first else "no log was cut"


def cut_logs(world, rng):
    """The readings that are acknowledged by one broker alone may be lost, and no others."""
    alone, *others = rng.sample(BROKERS, 3)
    # A transaction whose end is cut off stays open for ever, in Kafka itself.
    with world.transactions.paused(world.observer):
        with world.ledger.at_risk():
            world.servers.nodes("kill", *others)
            world.servers.await_leaders([alone])
            time.sleep(ALONE_S)
            world.servers.kafka_is_up.clear()
            world.servers.nodes("kill", alone)
            time.sleep(ANSWERS_WITHIN_S)
        with world.servers.outage():
            world.servers.nodes("up", *others)
            world.servers.await_leaders(others)
        # The new leaders' logs grow, past where the old ones ended or not.
        time.sleep(rng.uniform(0, 4))
        world.servers.nodes("up", alone)


def await_named_gaps(world):
    """The partitions that are stalled, once every other one is read on: a gap is named, or there is none."""
    deadline = time.monotonic() + NAMED_WITHIN_S
    while True:
        gaps = world.servers.gaps()
        behind = world.observer.behind()
        if isinstance(behind, dict) and set(behind) <= set(gaps):
            return gaps
        if time.monotonic() > deadline:
            world.findings.append(f"not stored, and not named within {NAMED_WITHIN_S} s: {behind}, {gaps}")
            return gaps
        time.sleep(0.5)


def return_of(world, measurement, node):
    """With all that it has missed."""
    world.servers.nodes("up", node)
    measurement.back()
    world.servers.await_in_sync()


FAULTS = [
    Fault("leader-killed", "SIGKILL of the broker that leads most partitions", kill_leader, 24, limit_s=LEADER_LIMIT_S),
    Fault("broker-stopped", "SIGTERM of one of three brokers", stop_broker, 10, limit_s=LEADER_LIMIT_S),
    Fault("controller-killed", "SIGKILL of the controller", kill_controller, 10, limit_s=LEADER_LIMIT_S),
    Fault(
        "two-brokers-then-the-third", "two brokers stopped, then the third, and the first two started",
        stop_two_and_then_the_third, 8, limit_s=REJOINED_LIMIT_S, counts_from=BACK,
    ),
    Fault("power-cut", "SIGKILL of brokers and controller at once, with Postgres or without", cut_power, 8, limit_s=20, counts_from=BACK),
    Fault("tails-cut", "the same, and the ends of the newest segments cut off on every broker", cut_power_and_tails, 12),
    Fault("unclean-election", "acknowledged records cut off the log by an unclean election on purpose", elect_uncleanly, 10),
]  # fmt: skip
