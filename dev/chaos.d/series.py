"""Which reading is which: its time and its value follow from its sensor and its number, and back."""

import numpy as np

DAY_S = 86_400
# Sensors are spread over as many weeks, and a chunk covers a week by default.
WEEKS = 8
# Every so many readings of a sensor one is late: in chunks of its own, on days that are long over.
LATE_EVERY = 50
LATE_BY_S = 200 * DAY_S
# No two products that are sent are further apart than a double tells.
VALUES = 1_000_003


class Series:
    """Sensors have numbers from 0; `first_sensor` is the id of the first. Times are in seconds since 1970."""

    def __init__(self, first_sensor, sensors, per_sensor, midnight):
        self.first_sensor, self.sensors, self.per_sensor = first_sensor, sensors, per_sensor
        self.midnight = midnight

    def starts(self, sensor):
        return self.midnight - (sensor % WEEKS) * 7 * DAY_S

    def times(self, sensor, sequence):
        """For numbers or arrays of them."""
        is_late = sequence % LATE_EVERY == LATE_EVERY - 1
        return self.starts(sensor) + sequence - is_late * LATE_BY_S

    def values(self, sensor, sequence):
        """Eighths: the same in decimal as in binary."""
        return ((sensor + 1) * 7_919 + sequence * 104_729) % VALUES / 8

    def find(self, sensor_ids, times_us):
        """The sensors and numbers of rows, and which of the rows are readings of the series at all."""
        sensors = sensor_ids.astype(np.int64) - self.first_sensor
        seconds, rest = np.divmod(times_us, 1_000_000)
        sequences = seconds - self.starts(sensors)
        is_late = sequences < -LATE_BY_S // 2
        sequences = sequences + is_late * LATE_BY_S
        ours = (sensors >= 0) & (sensors < self.sensors) & (rest == 0)
        ours &= (sequences >= 0) & (sequences < self.per_sensor)
        ours &= (sequences % LATE_EVERY == LATE_EVERY - 1) == is_late
        return sensors, sequences, ours
