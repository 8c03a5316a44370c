"""Through the api, by both of its routes; what was not acknowledged is sent again, as the README tells clients to."""

import gzip
import json
import threading

import poison
from ledger import ACKNOWLEDGED, REFUSED, UNKNOWN, Parcel
from load.connection import Connection
from load.pace import Pace

ATTEMPTS = 8
PAUSE_S = 0.4
BATCH, LINES = 50, 200
# Not taken, or not known to be.
TRY_AGAIN = {429, 500, 502, 503, 504, 408}


class HttpLoad(threading.Thread):
    """One client with one connection. `found` hears of answers that no client should get."""

    def __init__(self, mix, port, rng, requests_per_s, found, name):
        super().__init__(name=name, daemon=True)
        self.mix, self.rng, self.found = mix, rng, found
        self.requests_per_s = requests_per_s
        self.connection = Connection(port)
        self.statuses = self.connection.statuses
        self.error = None

    def run(self):
        try:
            pace = Pace(self.requests_per_s)
            while pace.wait(self.mix.stopping):
                dice = self.rng.random()
                if dice < 0.55:
                    self.send_one_sensors()
                elif dice < 0.57:
                    self.send_refused()
                else:
                    self.send_lines()
        except Exception as error:  # noqa: BLE001 - the run asks for it
            self.error = error

    def send_one_sensors(self):
        record = self.mix.one_sensors(self.rng, BATCH)
        path, body = f"/sensor_data/{record.key.decode()}", data_of(record)
        self.until_taken(record.parcel, path, body, {}, {200})

    def send_refused(self):
        """A body with a bad item: all of it is refused."""
        record = self.mix.one_sensors(self.rng, BATCH, bad_items=1)
        self.mix.ledger.note_sent(record.parcel)
        status, answer = self.post(f"/sensor_data/{record.key.decode()}", data_of(record), {})
        if status == 422:
            self.mix.ledger.settle(record.parcel, REFUSED)
        elif status is not None and status not in TRY_AGAIN:
            self.found(f"a body with a bad item was answered with {status}: {answer[:200]}")

    def send_lines(self):
        """NDJSON of several sensors, packed or not, with a bad line now and then."""
        runs, lines = [], []
        for sensor in self.rng.sample(range(self.mix.series.sensors), LINES // 20):
            run, values, times = self.mix.readings(sensor, 20)
            runs.append(run)
            lines += [self.mix.single(sensor, value, time) for value, time in zip(values, times)]
        parcel = Parcel(runs)
        bad = self.bad_lines(lines) if self.rng.random() < 0.1 else []
        headers, body = {"Content-Type": "application/x-ndjson"}, "\n".join(lines).encode()
        if self.rng.random() < 0.5:
            headers, body = headers | {"Content-Encoding": "gzip"}, gzip.compress(body, 1)
        if not bad:
            return self.until_taken(parcel, "/readings", body, headers, {202})
        return self.until_partly_taken(parcel, Parcel([], bad), body, headers)

    def bad_lines(self, lines):
        """Appends them; their numbers."""
        numbers = []
        for _ in range(3):
            reason = self.rng.choice([poison.VALUE, poison.TIME, poison.SENSOR, poison.WINDOW])
            number = self.mix.ledger.take_poison(reason)
            _, value = poison.record(reason, number, self.mix.sensor_id(0), self.mix.series.midnight)
            lines.append(value.decode())
            numbers.append(number)
        return numbers

    def until_partly_taken(self, parcel, bad, body, headers):
        good, all_bad = parcel.readings(), len(bad.poison)
        for _ in range(ATTEMPTS):
            self.mix.ledger.note_sent(parcel)
            status, answer = self.post("/readings", body, headers)
            report = parse(answer) if status == 207 else {}
            if (report.get("accepted"), report.get("failed")) == (good, all_bad):
                self.mix.ledger.settle(parcel, ACKNOWLEDGED)
                return self.mix.ledger.settle(bad, REFUSED)
            self.mix.ledger.settle(parcel, UNKNOWN)
            if status == 207 and not unavailable(report):
                return self.found(f"of {good} good and {all_bad} bad lines the api makes {answer[:300]}")
            if status is not None and status != 207 and status not in TRY_AGAIN:
                return self.found(f"/readings was answered with {status}: {answer[:200]}")
            if self.mix.stopping.wait(PAUSE_S):
                return None
        return None

    def until_taken(self, parcel, path, body, headers, good):
        for _ in range(ATTEMPTS):
            self.mix.ledger.note_sent(parcel)
            status, answer = self.post(path, body, headers)
            if status in good:
                return self.mix.ledger.settle(parcel, ACKNOWLEDGED)
            self.mix.ledger.settle(parcel, UNKNOWN)
            if status == 207 and unavailable(parse(answer)):
                status = 503
            if status is not None and status not in TRY_AGAIN:
                return self.found(f"{path.split('/')[1]} was answered with {status}: {answer[:200]}")
            if self.mix.stopping.wait(PAUSE_S):
                return None
        return None

    def taken(self):
        """How many requests were taken whole."""
        return self.statuses.get(200, 0) + self.statuses.get(202, 0)

    def post(self, path, body, headers):
        return self.connection.post(path, body, headers)


def data_of(record):
    """The body that the route for one sensor takes."""
    _, data = record.value.split(b",", 1)
    return b"{" + data


def parse(answer):
    try:
        return json.loads(answer)
    except ValueError:
        return {}


def unavailable(report):
    """Whether what failed may be taken later."""
    return any(error.get("code") == "database_unavailable" for error in report.get("errors", []))
