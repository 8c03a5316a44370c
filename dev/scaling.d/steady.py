"""Members come and go under a steady load."""

import json
import os
import signal
import time
from dataclasses import dataclass, field

from group import PARTITIONS, SENSORS, Group
from processes import Process
from servers import TARGET, Failed, say

RATE = int(os.environ.get("SCALING_RATE", "20000"))
PHASE_S = int(os.environ.get("SCALING_PHASE_SECONDS", "12"))
LOOK_INTERVAL_S = 0.1
# Before the first look, so that the first worker's start is not in the figures.
WARM_UP_S = 4

PHASES = [
    ("1 worker", lambda group: None),
    ("a 2nd joins", lambda group: group.start()),
    ("2 more join", lambda group: group.start(2)),
    ("2 get SIGTERM", lambda group: group.end(signal.SIGTERM, 2)),
    ("1 gets SIGKILL", lambda group: group.end(signal.SIGKILL)),
]


class Load(Process):
    """`sensorpipe-load` on schedule, which checks at its end that each reading is stored once."""

    name = "the load"

    def __init__(self, group, seconds):
        flags = [f"--rate={RATE}", f"--duration={seconds}s", f"--sensors={SENSORS}", "--verify", "--json"]
        super().__init__([TARGET / "sensorpipe-load", *flags], group.environment())

    def report(self):
        self.process.wait(120)
        self.log.seek(0)
        text = self.log.read()
        if self.process.returncode != 0:
            raise Failed(f"the load: {text.strip()[-2000:]}")
        # Said already, so it need not be shown at the end.
        self.log.truncate(0)
        self.log.seek(0)
        return json.loads(text[text.index("{") :])


@dataclass
class Phase:
    """What was seen after one change."""

    change: str
    began: float = field(default_factory=time.monotonic)
    assigned: list = field(default_factory=list)
    lag_max: int = 0
    lag_end: int = 0
    # Seconds that the partition that stood still longest stood still with records to take.
    standstill: float = 0.0
    stored: int = 0
    rebalances: float = 0.0

    def row(self, number):
        seconds = time.monotonic() - self.began
        shares = " + ".join(map(str, sorted(self.assigned, reverse=True)))
        return (
            f"| {self.change} | {number} | {shares} | {self.stored / seconds:,.0f} | {self.lag_max:,} | {self.lag_end:,} "
            f"| {self.standstill:.1f} | {self.rebalances:.0f} |"
        )


def measure(servers):
    lines = [
        f"{RATE:,} readings/s, 1 per record, into {PARTITIONS} partitions; {PHASE_S} s each:",
        "",
        "| what happens | workers | partitions each | stored/s | highest lag, records | lag at the end "
        "| longest standstill of a partition, s | rebalance events |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with Group(servers, "steady") as group:
        group.start()
        with Load(group, WARM_UP_S + PHASE_S * len(PHASES) + 2) as load:
            time.sleep(WARM_UP_S)
            watch = Watch(group)
            for change, act in PHASES:
                phase = Phase(change)
                before = group.rebalances()
                stored = sum(group.stored().values())
                act(group)
                while time.monotonic() - phase.began < PHASE_S:
                    watch.look(phase)
                    load.check()
                    time.sleep(LOOK_INTERVAL_S)
                phase.assigned = group.assigned()
                phase.stored = sum(group.stored().values()) - stored
                phase.rebalances = group.rebalances() - before
                lines.append(phase.row(len(group.members)))
                say(lines[-1])
                if sum(phase.assigned) != PARTITIONS:
                    raise Failed(f"of {PARTITIONS} partitions {phase.assigned} are assigned after {PHASE_S} s")
            report = load.report()
        group.see_off()
    lines += ["", f"Of {report['readings']:,} readings each is stored once, as `sensorpipe-load --verify` found."]
    return "\n".join(lines)


class Watch:
    """Looks at how far the group is."""

    def __init__(self, group):
        self.group = group
        self.stored, self.moved = group.stored(), dict.fromkeys(range(PARTITIONS), time.monotonic())

    def look(self, phase):
        # Stored first: what comes in between makes the lag larger, never smaller than it is.
        stored, now = self.group.stored(), time.monotonic()
        ends = self.group.ends()
        for partition in range(PARTITIONS):
            if stored.get(partition) != self.stored.get(partition):
                self.moved[partition] = now
            else:
                phase.standstill = max(phase.standstill, now - max(self.moved[partition], phase.began))
        self.stored = stored
        lag = sum(ends[partition] - stored.get(partition, 0) for partition in range(PARTITIONS))
        phase.lag_max, phase.lag_end = max(phase.lag_max, lag), lag
        self.group.assigned()
