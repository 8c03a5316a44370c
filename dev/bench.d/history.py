"""Tables of readings that end today, for statistics over them."""

import json
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

from servers import environment, sensorpipe

DAY = timedelta(days=1)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
# How much of today is there, whatever the hour: the figures must not depend on it.
TODAY = timedelta(hours=12)
# Chunks of the default seven days begin on Thursdays, as 1970 did.
CHUNK = timedelta(days=7)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def midnight():
    return datetime.combine(datetime.now(timezone.utc).date(), time(), timezone.utc)


@dataclass
class Series:
    """Sensors that have a reading at every step of so many days, the last of which is today or yesterday."""

    first_sensor: int
    sensors: int
    step: timedelta
    days: int
    has_today: bool = True

    def span(self, today):
        if self.has_today:
            return today + TODAY - timedelta(days=self.days), today + TODAY
        return today - timedelta(days=self.days), today


class History:
    """A migrated database with such series, sorted by sensor and time in each chunk."""

    def __init__(self, servers, *series):
        self.today = midnight()
        # What the reference answered, by sensor.
        self.answers = {}
        self.topic = servers.new_topic("history")
        self.database = servers.kept.enter_context(servers.database("history"))
        sensorpipe("migrate", env=environment(self.database, self.topic))
        last_sensor = max(one.first_sensor + one.sensors - 1 for one in series)
        with self.database.session() as session:
            session.run(f"INSERT INTO sensors (sensor_type) SELECT 'history' FROM generate_series(1, {last_sensor})")
            # As the worker writes: no look-up of the sensor for each row.
            session.run("SET session_replication_role = replica")
            session.run("SELECT setseed(0.5)")
            for first, last in chunks(min(one.span(self.today)[0] for one in series), self.today + TODAY):
                for one in series:
                    fill(session, one, max(first, one.span(self.today)[0]), min(last, one.span(self.today)[1]))
            session.run("RESET session_replication_role")
            session.run("VACUUM ANALYZE sensor_data")

    def is_of_today(self):
        return self.today == midnight()

    def forget_statistics(self):
        """As after `migrate`: nothing is kept of any day."""
        with self.database.session() as session:
            session.run("TRUNCATE daily_stats")


def chunks(first, last):
    start = first - (first - EPOCH) % CHUNK
    while start < last:
        yield start, start + CHUNK
        start += CHUNK


def fill(session, series, first, last):
    if first >= last:
        return
    readings = (last - first) // series.step
    session.run(
        f"""INSERT INTO sensor_data (sensor_id, value, time)
            SELECT {series.first_sensor} + number / {readings},
                   (1500 + floor(1500 * random())) / 100,
                   timestamptz '{first.isoformat()}'
                       + number % {readings} * interval '{series.step.total_seconds()} seconds'
              FROM (SELECT generate_series(0, {series.sensors * readings - 1}) AS number) AS numbers"""
    )


def same_statistics(answer, expected):
    """Exact but for means and what is computed of two quartiles, where the order of additions may show."""
    ours, theirs = json.loads(answer), json.loads(expected)
    return len(ours) == len(theirs) and all(same_day(one, other) for one, other in zip(ours, theirs))


def same_day(ours, theirs):
    return ours.keys() == theirs.keys() and all(same_value(ours[name], theirs[name]) for name in theirs)


def same_value(ours, theirs):
    if isinstance(theirs, float):
        return abs(ours - theirs) <= 1e-9 * max(1, abs(theirs))
    return ours == theirs
