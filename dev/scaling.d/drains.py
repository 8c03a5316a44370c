"""A backlog, drained by groups of different sizes."""

import os
import time

from group import CONSUMERS, PARTITIONS, SENSORS, Group
from servers import Failed, load_generator, say

BACKLOG = int(os.environ.get("SCALING_BACKLOG", "4000000"))
SIZES = (1, 2, 4)
LOOK_INTERVAL_S = 0.05
STALL_S = 60


def measure(servers):
    topic = servers.new_topic("backlog")
    with Group(servers, "load", topic) as group:
        load_generator(f"--count={BACKLOG}", f"--sensors={SENSORS}", env=group.environment())
    lines = [
        f"{BACKLOG:,} readings, 1 per record, in {PARTITIONS} partitions; workers of {CONSUMERS} consumer each:",
        "",
        "| workers | readings/s | beside 1 worker | processor time of the workers, s |",
        "|---|---|---|---|",
    ]
    first = None
    for size in SIZES:
        servers.settle()
        speed, cpu = drain(servers, topic, size)
        first = first or speed
        lines.append(f"| {size} | {speed:,.0f} | {speed / first:.2f} | {cpu:.1f} |")
        say(lines[-1])
    return "\n".join(lines)


def drain(servers, topic, size):
    """Readings a second from when each member has its share to when all is stored, and the workers' processor time."""
    with Group(servers, "drain", topic) as group:
        group.start(size)
        first = last = None
        seen, moved = 0, time.monotonic()
        share = [PARTITIONS // size] * size
        while seen < BACKLOG:
            time.sleep(LOOK_INTERVAL_S)
            now_seen, now = sum(group.stored().values()), time.monotonic()
            if now_seen > seen:
                seen, moved, last = now_seen, now, (now, now_seen)
                if first is None and group.assigned() == share:
                    first = last
            elif now - moved > STALL_S:
                raise Failed(f"{BACKLOG - seen} readings are not stored after {STALL_S} s of nothing")
        cpu = sum(member.cpu_seconds() for member in group.members)
        if first is None or last[0] == first[0]:
            raise Failed("all was stored before each member had its share: more SCALING_BACKLOG are needed")
        return (last[1] - first[1]) / (last[0] - first[0]), cpu
