"""Every reading that was sent, and what its sender was told."""

import contextlib
import threading
from dataclasses import dataclass, field

import numpy as np

# Of a reading or a poisonous one. What is unknown may be stored or not, and so may what was acknowledged by one broker alone
# that was lost on purpose; what was aborted or refused must not be.
UNSENT, UNKNOWN, ACKNOWLEDGED, ABORTED, REFUSED, AT_RISK = range(6)


@dataclass
class Parcel:
    """What goes out together: runs of readings (sensor, first sequence, count), and poison by its number."""

    runs: list = field(default_factory=list)
    poison: list = field(default_factory=list)

    def readings(self):
        return sum(count for _, _, count in self.runs)


class Ledger:
    """One byte for each reading there may be."""

    def __init__(self, sensors, per_sensor):
        self.states = np.zeros((sensors, per_sensor), dtype=np.uint8)
        # The reason that each is to be dead-lettered with, and its state.
        self.poison_reasons = []
        self.poison_states = []
        # Copies of good readings, counted as often as they were sent.
        self.sent = 0
        self.copies = {ACKNOWLEDGED: 0, UNKNOWN: 0, ABORTED: 0, REFUSED: 0, AT_RISK: 0}
        # What is acknowledged now may be lost.
        self.is_at_risk = False
        # The log was read from its start again at some time: there is no telling how many duplicates that makes.
        self.is_read_again = False
        self._next = [0] * sensors
        self._lock = threading.Lock()

    def take(self, sensor, count):
        """The first of `count` readings that have never been sent; they count as sent from now on."""
        with self._lock:
            first = self._next[sensor]
            if first + count > self.states.shape[1]:
                raise Exhausted(f"sensor {sensor} has had {first} readings: a larger ledger is needed")
            self._next[sensor] = first + count
            self.states[sensor, first : first + count] = UNKNOWN
            return first

    def take_poison(self, reason):
        """The number of a reading that cannot be stored."""
        with self._lock:
            self.poison_reasons.append(reason)
            self.poison_states.append(UNKNOWN)
            return len(self.poison_reasons) - 1

    def note_sent(self, parcel):
        with self._lock:
            self.sent += parcel.readings()

    def settle(self, parcel, state):
        """What became of one sending of it. Acknowledged once is acknowledged, whatever became of other copies."""
        with self._lock:
            state = self._at_risk(state)
            self.copies[state] += parcel.readings()
            for sensor, first, count in parcel.runs:
                run = self.states[sensor, first : first + count]
                run[run != ACKNOWLEDGED] = state
            for number in parcel.poison:
                if self.poison_states[number] != ACKNOWLEDGED:
                    self.poison_states[number] = state

    def count_copies(self, count, state):
        """Of readings that are not in this ledger: sent, and this became of them. What they are by that."""
        with self._lock:
            state = self._at_risk(state)
            self.sent += count
            self.copies[state] += count
            return state

    def give_up(self, count):
        """Of copies that were sent nobody will ever tell what became; their readings are unknown since they were taken."""
        with self._lock:
            self.copies[UNKNOWN] += count

    @contextlib.contextmanager
    def at_risk(self):
        """What is acknowledged meanwhile may be lost."""
        self.is_at_risk = True
        try:
            yield
        finally:
            self.is_at_risk = False

    def _at_risk(self, state):
        return AT_RISK if state == ACKNOWLEDGED and self.is_at_risk else state

    def count(self, state):
        return int(np.count_nonzero(self.states == state))


class Exhausted(Exception):
    """More readings than the ledger has room for."""
