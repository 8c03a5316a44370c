"""Makes sensors all the time, and sends readings for them under the ids that the api has answered with."""

import json
import threading

from ledger import ACKNOWLEDGED, UNKNOWN
from load.connection import Connection
from load.http import TRY_AGAIN
from load.pace import Pace
from made_sensors import value_of

READINGS = 3
# Also of sensors that were made long ago: what an id leads to must never change.
OF_OLD_SENSORS = 0.5


class SensorLoad(threading.Thread):
    """A sensor is asked for once: whether one was made that nobody answered for, nobody can tell."""

    def __init__(self, mix, made, port, rng, sensors_per_s, found):
        super().__init__(name="sensor-load", daemon=True)
        self.mix, self.made, self.rng, self.found = mix, made, rng, found
        self.sensors_per_s = sensors_per_s
        self.connection = Connection(port)
        self.answered = []
        self.error = None

    def run(self):
        try:
            pace = Pace(self.sensors_per_s)
            while pace.wait(self.mix.stopping):
                self.make()
                if self.answered and self.rng.random() < OF_OLD_SENSORS:
                    self.send(self.rng.choice(self.answered))
        except Exception as error:  # noqa: BLE001 - the run asks for it
            self.error = error

    def make(self):
        sensor = self.made.new()
        losses = self.made.losses
        body = {"sensor_type": "made", "description": sensor.name, "location": "nowhere"}
        status, answer = self.connection.post("/sensors", json.dumps(body).encode(), {})
        # An odd number: it loses something now.
        sensor.is_at_risk = losses % 2 == 1 or losses != self.made.losses
        if status == 200:
            sensor.sensor_id = json.loads(answer)["sensor_id"]
            self.answered.append(sensor)
            self.send(sensor)
        elif status is not None and status not in TRY_AGAIN:
            self.found(f"sensors was answered with {status}: {answer[:200]}")

    def send(self, sensor):
        """Once: where it was not acknowledged, it may be stored or not."""
        numbers = self.made.take(sensor, READINGS)
        data = [{"value": value_of(sensor, number), "timestamp": self.made.time_of(number)} for number in numbers]
        body = json.dumps({"data": data}).encode()
        status, answer = self.connection.post(f"/sensor_data/{sensor.sensor_id}", body, {})
        state = self.mix.ledger.count_copies(len(numbers), ACKNOWLEDGED if status == 200 else UNKNOWN)
        self.made.settle(sensor, numbers, state)
        if status not in (200, None) and status not in TRY_AGAIN:
            self.found(f"readings of {sensor.name} ({sensor.sensor_id}) were answered with {status}: {answer[:200]}")
