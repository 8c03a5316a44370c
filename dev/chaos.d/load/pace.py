"""So much in a second, whatever the answers take; what an outage held up is not made up for."""

import time

LATE_AT_MOST_S = 1


class Pace:
    def __init__(self, per_second):
        self.interval = 1 / per_second
        self.due = time.monotonic()

    def wait(self, stopping):
        """Until the next one is due; false once it is to stop."""
        now = time.monotonic()
        self.due = max(self.due + self.interval, now - LATE_AT_MOST_S)
        return not stopping.wait(max(0, self.due - now))
