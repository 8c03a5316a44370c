"""Sensors that are made while the run goes on, and the ledger of what was sent for each of them.

A sensor is known by its name, which no other has; a reading's value says which sensor and which reading it is. So a row tells
for which sensor it was sent, whichever sensor's id it has now.
"""

import contextlib
import threading
from dataclasses import dataclass, field

import refusals
from ledger import ACKNOWLEDGED, UNKNOWN, UNSENT

# The value of a reading: so many times the sensor's number, and its own.
STEP = 1_000
NAME = "made "


@dataclass
class MadeSensor:
    """`sensor_id` is what the api answered; none where no answer came."""

    number: int
    name: str
    sensor_id: int | None = None
    # Kafka may have lost what it heard of it.
    is_at_risk: bool = False
    # The state of each reading, by its number.
    readings: dict = field(default_factory=dict)


class MadeSensors:
    """All of a run. `midnight` is the time of each sensor's first reading."""

    def __init__(self, seed, midnight):
        self.seed, self.midnight = seed, midnight
        self.all = []
        # How often Kafka began to lose what it says of sensors, or ceased to.
        self.losses = 0
        self._lock = threading.Lock()

    def new(self):
        with self._lock:
            number = len(self.all) + 1
            sensor = MadeSensor(number, f"{NAME}{self.seed}-{number}")
            self.all.append(sensor)
            return sensor

    @contextlib.contextmanager
    def at_risk(self):
        """Kafka may lose what it hears of sensors meanwhile."""
        self.losses += 1
        try:
            yield
        finally:
            self.losses += 1

    def take(self, sensor, count):
        """The numbers of readings that were never sent, of which no trigger refuses one."""
        numbers, number = [], max(sensor.readings, default=0)
        while len(numbers) < count:
            number += 1
            if not refusals.is_refused(value_of(sensor, number)):
                sensor.readings[number] = UNKNOWN
                numbers.append(number)
        return numbers

    def settle(self, sensor, numbers, state):
        for number in numbers:
            if sensor.readings[number] != ACKNOWLEDGED:
                sensor.readings[number] = state

    def time_of(self, number):
        return self.midnight + number

    def find(self, value):
        """The sensor and the number of the reading with this value; no sensor where nobody sent it."""
        number, reading = divmod(value, STEP)
        if number != int(number) or not 1 <= number <= len(self.all):
            return None, reading
        sensor = self.all[int(number) - 1]
        if sensor.readings.get(reading, UNSENT) == UNSENT:
            return None, reading
        return sensor, int(reading)


def value_of(sensor, number):
    return sensor.number * STEP + number


def read_names(session):
    """The name of each sensor that was made so, by its id."""
    return dict(
        session.execute(
            "SELECT sensor_id, description FROM sensors WHERE starts_with(description, %s)", [NAME]
        ).fetchall()
    )


def check(verdict, made, names, rows):
    """`rows` of the readings that are of none of the run's other sensors: (sensor_id, µs since 1970, value)."""
    check_sensors(verdict, made, names)
    seen = set()
    for sensor_id, time_us, value in rows:
        sensor, number = made.find(value)
        if sensor is None:
            verdict.fault("rows that nobody sent", 1, [f"sensor {sensor_id}, {time_us} µs, {value}"])
            continue
        if names.get(sensor_id) != sensor.name:
            found = f"{value} of {sensor.name} is on {sensor_id}, {names.get(sensor_id)}"
            verdict.fault("on another sensor", 1, [found])
        if time_us != made.time_of(number) * 1_000_000:
            verdict.fault("wrong value", 1, [f"{value} of {sensor.name} at {time_us} µs"])
        if (sensor.number, number) in seen:
            verdict.fault("stored twice", 1, [f"{value} of {sensor.name}"])
        seen.add((sensor.number, number))
    for sensor in made.all:
        lost = [
            number
            for number, state in sensor.readings.items()
            if state == ACKNOWLEDGED and (sensor.number, number) not in seen
        ]
        verdict.fault("lost", len(lost), (f"{sensor.name}, reading {number}" for number in lost))
    verdict.stored += len(seen)
    verdict.sensors = sum(1 for sensor in made.all if sensor.sensor_id is not None)


def check_sensors(verdict, made, names):
    """An id that was given out once is that sensor's for ever."""
    ids = {}
    for sensor_id, name in names.items():
        ids.setdefault(name, []).append(sensor_id)
    for sensor in made.all:
        found = ids.pop(sensor.name, [])
        # Where Kafka has lost its first id, it may have that and another one.
        again = max(0, len(found) - 1 - sensor.is_at_risk)
        verdict.fault("a sensor made twice", again, [f"{sensor.name}: {found}"])
        if sensor.sensor_id is None or sensor.sensor_id in found:
            continue
        taker = names.get(sensor.sensor_id)
        kind = "an id given to another sensor" if taker else "a sensor lost"
        verdict.fault(kind, 1, [f"{sensor.name} was {sensor.sensor_id}, which is {taker}; it is {found}"])
    verdict.fault("a sensor that nobody made", len(ids), ids)
