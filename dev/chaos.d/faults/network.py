"""Faults of the ways between each pair."""

import time

from faults.fault import Fault
from toxiproxy import BOTH_WAYS


def proxies_of(world, rng, server, process):
    client = "api" if process == "api" else rng.choice(world.running()).name
    return f"{server}-{client}"


def slow(server, process):
    def run(world, rng, measurement):
        proxy = proxies_of(world, rng, server, process)
        if rng.random() < 0.5:
            delay = rng.randint(20, 200)
            measurement.note = f"{delay} ms"
            for stream in BOTH_WAYS:
                world.toxiproxy.add_toxic(proxy, "latency", stream, latency=delay, jitter=delay // 2)
        else:
            rate = rng.randint(20, 400)
            measurement.note = f"{rate} KB/s"
            for stream in BOTH_WAYS:
                world.toxiproxy.add_toxic(proxy, "bandwidth", stream, rate=rate)
        time.sleep(rng.uniform(1, 4))
        world.toxiproxy.heal()
        measurement.back()

    return run


def part(server, process):
    def run(world, rng, measurement):
        proxy = proxies_of(world, rng, server, process)
        is_silent = rng.random() < 0.5
        if is_silent:
            world.toxiproxy.hold(proxy)
        else:
            world.toxiproxy.refuse(proxy)
        seconds = rng.uniform(1, 6)
        measurement.note = f"{'silent' if is_silent else 'refused'} for {seconds:.1f} s"
        time.sleep(seconds)
        world.toxiproxy.heal()
        measurement.back()

    return run


PAIRS = [("postgres", "worker", 6), ("kafka", "worker", 6), ("kafka", "api", 5), ("postgres", "api", 4)]
FAULTS = [
    fault
    for server, process, times in PAIRS
    for fault in (
        Fault(f"parted-{process}-{server}", f"no way between {process} and {server} for some seconds",
              part(server, process), times),
        Fault(f"slow-{process}-{server}", f"latency or little bandwidth between {process} and {server}",
              slow(server, process), max(2, times // 2)),
    )
]  # fmt: skip
