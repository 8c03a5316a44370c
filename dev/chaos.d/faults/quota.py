"""Client quotas: Kafka throttles the api and the workers."""

import time

from faults.fault import BACK, Fault
from quotas import set_quotas

# What the principal of a client without a name is called.
NOBODY = "ANONYMOUS"
# Far below what the load needs; the last is in percent of a thread of the broker's.
QUOTAS = {
    "consumer_byte_rate": (2_000, 30_000),
    "producer_byte_rate": (1_000, 20_000),
    "request_percentage": (0.02, 0.5),
}
# A broker holds a client that used too much for as long as its window of 11 seconds, also past the quota's end.
LIMIT_S = 15


def throttle(world, rng, measurement):
    names = rng.sample([*QUOTAS], rng.randint(1, len(QUOTAS)))
    quotas = {name: rng.uniform(*QUOTAS[name]) for name in names}
    # Kafka takes a fraction of a percent and no fraction of a byte.
    quotas = {name: value if name == "request_percentage" else int(value) for name, value in quotas.items()}
    port = world.servers.ports.kafka
    try:
        set_quotas(port, NOBODY, quotas)
        time.sleep(rng.uniform(4, 8))
    finally:
        set_quotas(port, NOBODY, dict.fromkeys(names))
    measurement.back()
    measurement.note = ", ".join(f"{name} {value:.5g}" for name, value in quotas.items())


FAULTS = [Fault("throttled", "client quotas so low that Kafka throttles, for some seconds", throttle, 6, limit_s=LIMIT_S,
                counts_from=BACK)]  # fmt: skip
