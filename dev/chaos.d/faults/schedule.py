"""Which faults, in which order: a function of the seed."""

import random

from faults import kafka, network, postgres, together, workers

ALL = {
    fault.kind: fault
    for module in (workers, postgres, kafka, network, together)
    for fault in module.FAULTS
}  # fmt: skip


def schedule(seed, is_long, kinds):
    """(fault, its own stream), one after the other; again and again where time is left."""
    rng = random.Random(f"{seed}/schedule")
    faults = [ALL[kind] for kind in kinds] if kinds else list(ALL.values())
    round_number = 0
    while True:
        deck = [fault for fault in faults for _ in range(fault.times if is_long else 1)]
        rng.shuffle(deck)
        for number, fault in enumerate(deck):
            yield fault, random.Random(f"{seed}/{round_number}/{number}/{fault.kind}")
        round_number += 1


def deck_size(kinds):
    return sum(ALL[kind].times for kind in (kinds or ALL))
