"""Which faults, in which order: a function of the seed."""

import random

from faults import access, answers, codecs, disk, kafka, network, postgres, quota, refusals, together, workers

ALL = {
    fault.kind: fault
    for module in (workers, postgres, refusals, kafka, access, codecs, quota, answers, network, together, disk)
    for fault in module.FAULTS
}  # fmt: skip
# A quick run has time for some faults only, and for these each time.
IN_EACH_RUN = (
    "read-denied", "compression-changed", "trigger-raises", "trigger-drops", "rights-taken", "read-only", "role-times-out",
)  # fmt: skip
# Nothing comes after it.
LAST = disk.FAULTS[0]


def schedule(seed, is_long, kinds):
    """(fault, its own stream), one after the other; again and again where time is left."""
    rng = random.Random(f"{seed}/schedule")
    faults = [ALL[kind] for kind in kinds or ALL if kind != LAST.kind]
    round_number = 0
    while faults:
        deck = [fault for fault in faults for _ in range(fault.times if is_long else 1)]
        rng.shuffle(deck)
        if not is_long and not kinds:
            deck.sort(key=lambda fault: fault.kind not in IN_EACH_RUN)
        for number, fault in enumerate(deck):
            yield fault, random.Random(f"{seed}/{round_number}/{number}/{fault.kind}")
        round_number += 1


def deck_size(kinds):
    """How many faults a long run has before the last one."""
    return sum(ALL[kind].times for kind in kinds or ALL if kind != LAST.kind)


def last(seed, is_long, kinds):
    """The fault at the end, where there is to be one."""
    if LAST.kind in kinds or (is_long and not kinds):
        yield LAST, random.Random(f"{seed}/{LAST.kind}")
