"""A kind of fault, and what is measured of one."""

from collections.abc import Callable
from dataclasses import dataclass

# From the injection; or from the moment when the fault itself is over.
START, BACK = "start", "back"


@dataclass(frozen=True)
class Fault:
    """`run` injects it, leaves it for as long as it is to last, and takes it away."""

    kind: str
    what: str
    run: Callable
    # How often in a long run.
    times: int
    # The longest stall allowed, and from when it counts.
    limit_s: float | None = None
    counts_from: str = START
    # Whether the group has to be whole before, so that the stall is this fault's alone.
    needs_group: bool = False


class Measurement:
    """Stalls of one fault. Each watch is closed once what the log held at the end of the fault is stored."""

    def __init__(self, observer):
        self.observer = observer
        self.watches = {START: observer.watch()}
        self.note = ""
        self.is_hit = True

    def begin_here(self):
        """What stalled before was the preparation."""
        self.watches[START].close()
        self.watches[START] = self.observer.watch()

    def back(self):
        """The fault itself is over now."""
        if BACK not in self.watches:
            self.watches[BACK] = self.observer.watch()

    def missed(self, why):
        """The moment that the fault is about did not come."""
        self.is_hit, self.note = False, why

    def close(self):
        """What stalls from now on is not of this fault."""
        for watch in self.watches.values():
            watch.close()

    def stall(self, counts_from):
        watch = self.watches.get(counts_from)
        return watch.longest if watch else 0.0
