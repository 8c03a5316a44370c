"""What is sent: records of every form, some of them poisonous, made of a seeded stream."""

import json
import threading
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

import poison
from ledger import Parcel

# Readings of one record, where it is a large one.
LARGE = 100


@dataclass
class Record:
    """A Kafka record to be."""

    key: bytes
    value: bytes
    parcel: Parcel


class Mix:
    """Shared by the producers; each draws from a stream of its own."""

    def __init__(self, series, ledger):
        self.series, self.ledger = series, ledger
        self.stopping = threading.Event()

    def sensor(self, rng):
        return rng.randrange(self.series.sensors)

    def sensor_id(self, sensor):
        return self.series.first_sensor + sensor

    def readings(self, sensor, count):
        """(run, values, times in seconds) of readings that were never sent."""
        first = self.ledger.take(sensor, count)
        sequences = np.arange(first, first + count)
        values = self.series.values(sensor, sequences).tolist()
        times = self.series.times(sensor, sequences).tolist()
        return (sensor, first, count), values, times

    def one_sensors(self, rng, count, bad_items=0):
        """`{"sensor_id":…,"data":[…]}`; the bad items stand at random places."""
        sensor = self.sensor(rng)
        run, values, times = self.readings(sensor, count)
        text = TIMES[rng.randrange(len(TIMES))]
        items = [f'{{"value":{value},"timestamp":{text(time)}}}' for value, time in zip(values, times)]
        parcel = Parcel([run])
        for _ in range(bad_items):
            reason = rng.choice(poison.ITEMS)
            number = self.ledger.take_poison(reason)
            parcel.poison.append(number)
            items.insert(rng.randrange(len(items) + 1), poison.item(reason, number, times[0]))
        sensor_id = self.sensor_id(sensor)
        value = f'{{"sensor_id":{sensor_id},"data":[{",".join(items)}]}}'
        return Record(str(sensor_id).encode(), value.encode(), parcel)

    def many_sensors(self, rng, sensors, count):
        """An array of single readings; the key is the first one's."""
        parcel, items = Parcel(), []
        for sensor in rng.sample(range(self.series.sensors), sensors):
            run, values, times = self.readings(sensor, count)
            parcel.runs.append(run)
            items += [self.single(sensor, value, time) for value, time in zip(values, times)]
        key = self.sensor_id(parcel.runs[0][0])
        return Record(str(key).encode(), f"[{','.join(items)}]".encode(), parcel)

    def lone(self, rng):
        """A record of one reading."""
        sensor = self.sensor(rng)
        run, [value], [time] = self.readings(sensor, 1)
        key = str(self.sensor_id(sensor)).encode()
        return Record(key, self.single(sensor, value, time).encode(), Parcel([run]))

    def poisonous(self, rng):
        """A record that is nothing but poison."""
        reason = rng.choice(poison.RECORDS)
        number = self.ledger.take_poison(reason)
        key, value = poison.record(reason, number, self.sensor_id(self.sensor(rng)), self.series.midnight)
        return Record(key, value, Parcel([], [number]))

    def single(self, sensor, value, time):
        return json.dumps({"sensor_id": self.sensor_id(sensor), "value": value, "timestamp": time})


def iso(time):
    return f'"{datetime.fromtimestamp(time, timezone.utc):%Y-%m-%dT%H:%M:%S}Z"'


# The same time in the forms that are taken.
TIMES = [str, lambda time: str(time * 1000), iso, lambda time: iso(time).replace("T", " ").replace("Z", "+00:00")]
