"""From the topic into the table, beside what the database takes at most."""

import json
import time
from datetime import datetime, timedelta

from processes import Worker
from servers import Failed, copy_floor, environment, load_generator

from .sizes import MANY_SENSORS, SENSORS, SIZES
from .tables import make_chunk, migrated, users_tables

# A chunk of the default seven days begins on 2024-10-10; everything lies in it.
FROM = "2024-10-11T00:00:00+00:00"
FROM_LARGE = "2024-10-10T00:00:00+00:00"
LARGE_DRAINS_APART = timedelta(hours=6)
# Time from one reading of a sensor to its next.
STEP = "1s"
# Seconds between two looks at how far a drain is.
WATCH_INTERVAL_S = 0.05
STALL_S = 120
WARM_UP = "3s"
# One reading in so many is sent twice.
REPEATED_EVERY = 100_000


def floor_plain(servers):
    """COPY by one connection into the schema as users make it"""
    with users_tables(servers, SENSORS) as database:
        servers.settle()
        return copy_floor(database, "plain", SENSORS, SIZES.readings, **{"from": FROM})


def floor_limit(servers):
    """COPY by two connections, sorted, no foreign key check, no time index, the chunk there"""
    with users_tables(servers, SENSORS, ", create_default_indexes => false") as database:
        with database.session() as session:
            make_chunk(session, FROM)
        servers.settle()
        return copy_floor(database, "limit", SENSORS, SIZES.readings, **{"from": FROM})


def drain_1(servers):
    """drain, 1 reading per record"""
    return drain_new(servers, preloaded(servers, per_record=1))


def drain_100(servers):
    """drain, 100 readings per record"""
    return drain_new(servers, preloaded(servers, per_record=100))


def drain_row(servers):
    """drain, 1 per record, the foreign key checked row by row"""
    return drain_new(servers, preloaded(servers, per_record=1), SENSORPIPE_TEST_WRITE_FK_CHECK="row")


def duplicates(servers):
    """drain, 1 per record, and the same again: all there already"""
    topic = preloaded(servers, per_record=1)
    with migrated(servers, topic, SENSORS) as database:
        first = drain(servers, database, topic, SIZES.readings)
        with database.session() as session:
            session.run("DELETE FROM ingest_offsets")
        again = drain(servers, database, topic, SIZES.readings, all_there=True)
        return again | {"first_readings_per_second": first["readings_per_second"]}


def repeats(servers):
    """drain, 1 per record, one reading in 100,000 twice; the same without in the same round"""
    plain, repeated = repeating_topic(servers, is_repeating=False), repeating_topic(servers, is_repeating=True)
    without = drain_new(servers, plain)
    with migrated(servers, repeated, SENSORS) as database:
        figures = drain(servers, database, repeated, SIZES.readings, repeated=SIZES.readings // REPEATED_EVERY)
    return figures | {"without_readings_per_second": without["readings_per_second"]}


def repeating_topic(servers, is_repeating):
    """A topic with the readings in it, in blocks, the first reading of each sent again after it where so wished."""
    key = ("repeating", is_repeating, SIZES.readings)
    if key not in servers.preloaded:
        topic = servers.new_topic("repeating" if is_repeating else "not_repeating")
        with migrated(servers, topic, SENSORS) as database:
            for block in range(SIZES.readings // REPEATED_EVERY):
                first = datetime.fromisoformat(FROM) + block * timedelta(seconds=REPEATED_EVERY // SENSORS)
                load(database, topic, 1, SENSORS, REPEATED_EVERY, first.isoformat())
                if is_repeating:
                    load(database, topic, 1, SENSORS, 1, first.isoformat())
        servers.preloaded[key] = topic
    return servers.preloaded[key]


def many_sensors(servers):
    """drain, 1 per record, 100,000 sensors"""
    return drain_new(servers, preloaded(servers, per_record=1, sensors=MANY_SENSORS), sensors=MANY_SENSORS)


def large_chunk(servers):
    """drain, 1 per record, into a chunk that has rows already"""
    if servers.large is None:
        servers.large = Large(servers)
    return servers.large.drain(servers)


def memory(servers):
    """peak memory of a worker that drains 2.5 times as many, 4 partitions"""
    topic = preloaded(servers, per_record=1, count=SIZES.memory_readings)
    return drain_new(servers, topic, count=SIZES.memory_readings)


def latency_20000(servers):
    """produce → visible at 20,000 readings/s, 1 per record"""
    return latency(servers, 20_000)


def latency_100(servers):
    """produce → visible at 100 readings/s, 1 per record"""
    return latency(servers, 100)


class Large:
    """A database with many rows in one chunk. Each drain adds later readings to the same chunk."""

    def __init__(self, servers):
        self.topic = servers.new_topic("large")
        self.database = servers.kept.enter_context(migrated(servers, self.topic, SENSORS))
        self.drains = 0
        with self.database.session() as session:
            make_chunk(session, FROM)
            copy_floor(self.database, "limit", SENSORS, SIZES.large_rows, **{"from": FROM_LARGE})
            session.run("VACUUM ANALYZE sensor_data")

    def drain(self, servers):
        """The worker goes on where the last one stopped."""
        first = datetime.fromisoformat(FROM) + self.drains * LARGE_DRAINS_APART
        self.drains += 1
        load(self.database, self.topic, 1, SENSORS, SIZES.readings, first.isoformat())
        return drain(servers, self.database, self.topic, SIZES.readings)


def load(database, topic, per_record, sensors, count, first, step=STEP):
    flags = ["--target=kafka", f"--count={count}", f"--sensors={sensors}", f"--readings-per-record={per_record}"]
    load_generator(*flags, f"--from={first}", f"--step={step}", env=environment(database, topic))


def preloaded(servers, per_record, sensors=SENSORS, count=SIZES.readings, first=FROM, step=STEP):
    """A topic with the readings in it; the same one for every run that wants these."""
    key = (per_record, sensors, count, first, step)
    if key not in servers.preloaded:
        topic = servers.new_topic(f"per_record_{per_record}")
        with migrated(servers, topic, sensors) as database:
            load(database, topic, per_record, sensors, count, first, step)
        servers.preloaded[key] = topic
    return servers.preloaded[key]


def drain_new(servers, topic, sensors=SENSORS, count=SIZES.readings, **settings):
    with migrated(servers, topic, sensors) as database:
        return drain(servers, database, topic, count, **settings)


def drain(servers, database, topic, count, all_there=False, repeated=0, **settings):
    """Runs a worker until it has stored the topic's readings.

    The speed is that from the first look that shows readings to the first that shows all; those of the first look
    do not count. One session looks, 20 times a second.
    """
    servers.settle()
    # Of a topic that is drained on and on, what was there before is in here already.
    progress = "SELECT coalesce(sum(stored + duplicates), 0) FROM ingest_offsets"
    with database.session() as session:
        before = int(session.ask(progress))
        goal = before + count + repeated
        first = last = None
        with Worker(database, topic, **settings) as worker:
            seen, moved = before, time.monotonic()
            while seen < goal:
                time.sleep(WATCH_INTERVAL_S)
                now_seen, now = int(session.ask(progress)), time.monotonic()
                if now_seen > seen:
                    seen, moved, last = now_seen, now, (now, now_seen)
                    first = first or last
                elif now - moved > STALL_S:
                    raise Failed(f"{goal - seen} readings are not stored after {STALL_S} s of nothing")
                worker.check()
            figures = {
                "readings_per_second": speed(worker.started, first, last, before),
                "seconds": last[0] - first[0],
                "seconds_from_start": last[0] - worker.started,
                "first_reading_seconds": first[0] - worker.started,
                "worker_peak_mib": worker.peak_mib(),
                "worker_cpu_seconds": worker.cpu_seconds(),
            }
        check_fates(session, seen, goal, all_there, repeated)
    return figures


def speed(started, first, last, before):
    if last[0] == first[0]:
        # So few that one look showed them all: only the whole time is known.
        return (last[1] - before) / (last[0] - started)
    return (last[1] - first[1]) / (last[0] - first[0])


def check_fates(session, seen, goal, all_there, repeated):
    there = goal if all_there else repeated
    counts = session.ask(
        "SELECT sum(stored) || ' ' || sum(duplicates) || ' ' || sum(dead_lettered) || ' ' ||"
        " (SELECT count(*) FROM dead_letters) FROM ingest_offsets"
    )
    expected = f"{goal - there} {there} 0 0"
    if counts != expected or seen != goal:
        raise Failed(f"stored, duplicates, dead-lettered, dead letters: {counts}; expected {expected}")


def latency(servers, rate):
    """Percentiles from the time that a record was due to be sent until queries show it, in milliseconds."""
    topic = servers.new_topic("latency")
    with migrated(servers, topic, SENSORS) as database, Worker(database, topic):
        servers.settle()
        flags = ["--target=kafka", f"--rate={rate}", f"--sensors={SENSORS}", "--verify", "--json"]
        own = environment(database, topic)
        load_generator(*flags, f"--duration={WARM_UP}", "--seed=2", env=own)
        report = json.loads(load_generator(*flags, f"--duration={SIZES.latency_seconds}s", env=own))
    visible, ack = report["verified"]["visible_ms"], report["ack_ms"]
    return {
        "readings_per_second": report["readings_per_second"],
        "visible_p50_ms": visible["p50"],
        "visible_p99_ms": visible["p99"],
        "visible_max_ms": visible["max"],
        "ack_p99_ms": ack["p99"],
    }


ALL = {
    "floor-plain": floor_plain,
    "drain-1": drain_1,
    "drain-100": drain_100,
    "floor-limit": floor_limit,
    "drain-row": drain_row,
    "duplicates": duplicates,
    "repeats": repeats,
    "many-sensors": many_sensors,
    "large-chunk": large_chunk,
    "memory": memory,
    "latency-20000": latency_20000,
    "latency-100": latency_100,
}

NEEDS = {
    "drain-1": ["floor-plain"],
    "drain-100": ["floor-plain", "floor-limit"],
    "drain-row": ["floor-plain"],
    "many-sensors": ["drain-1"],
    "large-chunk": ["drain-1"],
}
