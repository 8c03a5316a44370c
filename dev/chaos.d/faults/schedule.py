"""Which faults, in which order: a function of the seed."""

import math
import random
from dataclasses import replace

from faults import (
    access, answers, cluster, codecs, disk, failover, kafka, network, postgres, quota, refusals, together, workers,
)  # fmt: skip

# What is done to one broker and one Postgres, and what is done to three brokers and a primary with a standby. The faults that
# both have are done on one broker so many times more.
ON_ONE_BROKER = (workers, postgres, refusals, kafka, access, codecs, quota, answers, network, together, disk)
ON_A_CLUSTER = (cluster, failover)
ON_BOTH, TIMES_MORE = (workers, postgres), 3
# A quick run has time for some faults only, and for these each time.
IN_EACH_RUN = (
    "read-denied", "compression-changed", "trigger-raises", "trigger-drops", "rights-taken", "read-only", "role-times-out",
    "promoted-behind", "leader-killed", "unclean-election", "power-cut", "two-brokers-then-the-third",
)  # fmt: skip
# Nothing comes after it.
LAST = disk.FAULTS[0]


def of_modules(modules):
    return {fault.kind: fault for module in modules for fault in module.FAULTS}


def faults_of(is_cluster):
    if not is_cluster:
        return of_modules(ON_ONE_BROKER)
    both = of_modules(ON_BOTH)
    fewer = {kind: replace(fault, times=math.ceil(fault.times / TIMES_MORE)) for kind, fault in both.items()}
    return of_modules(ON_A_CLUSTER) | fewer


ALL = of_modules((*ON_ONE_BROKER, *ON_A_CLUSTER))


class Deck:
    """The faults of a run: those of its servers, or of these only the ones that are asked for."""

    def __init__(self, seed, is_long, is_cluster, kinds):
        self.seed, self.is_long = seed, is_long
        faults = faults_of(is_cluster)
        self.is_chosen = bool(kinds)
        self.faults = [faults[kind] for kind in kinds or faults]

    def shuffled(self):
        """(fault, its own stream), one after the other; again and again where time is left."""
        rng = random.Random(f"{self.seed}/schedule")
        faults = [fault for fault in self.faults if fault != LAST]
        round_number = 0
        while faults:
            deck = [fault for fault in faults for _ in range(fault.times if self.is_long else 1)]
            rng.shuffle(deck)
            if not self.is_long and not self.is_chosen:
                deck.sort(key=lambda fault: fault.kind not in IN_EACH_RUN)
            for number, fault in enumerate(deck):
                yield fault, random.Random(f"{self.seed}/{round_number}/{number}/{fault.kind}")
            round_number += 1

    def size(self):
        """How many faults a long run has before the last one."""
        return sum(fault.times for fault in self.faults if fault != LAST)

    def last(self):
        """The fault at the end, where there is to be one."""
        if LAST in self.faults and (self.is_long or self.is_chosen):
            yield LAST, random.Random(f"{self.seed}/{LAST.kind}")
