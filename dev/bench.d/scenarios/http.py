"""What the api takes over HTTP, beside the app that it replaces.

The two say success for different things: the reference's readings are in the table, ours are in Kafka. So ours runs
without a worker here, and afterwards the topic must hold everything that was accepted.
"""

import contextlib
import gzip
import http.client
import json
import random
import tempfile
from pathlib import Path

from processes import Api, Reference
from servers import Failed, environment, load_generator, readings_in
from wrk import THREADS, wrk

from .sizes import MANY_SENSORS, SENSORS, SIZES
from .tables import migrated, users_tables

SINGLE_CONNECTIONS = 512
BATCH_CONNECTIONS = 64
BATCH = 1_000
# Bodies that differ, so that Kafka's compression does not find the last one again.
BODIES = 64
WARM_UP_S = 3
# Requests a second; 3 times as many are still far from what this api and its client manage on two cores.
RATE_BOUND = 4_000
IDLE_CONNECTIONS = 2_000
BUSY_CONNECTIONS = 500
# The api closes a connection that has been idle for 30 s.
BUSY_AT_MOST_S = 15
DAY, DAY_BEFORE = "2024-10-12", "2024-10-11"


def reference_single(servers):
    """the reference: POSTs of one reading, 512 connections"""
    with users_tables(servers, SENSORS) as database, Reference(database) as reference:
        servers.settle()
        return singles(reference, SINGLE_CONNECTIONS)[0]


def http_single(servers):
    """api: POSTs of one reading, 512 connections"""
    with api(servers, SENSORS) as (own, accepted):
        return accepted.add(*singles(own, SINGLE_CONNECTIONS))


def reference_batch(servers):
    """the reference: POSTs of 1,000 readings of a sensor"""
    with users_tables(servers, MANY_SENSORS) as database, Reference(database) as reference:
        servers.settle()
        return batches(reference)[0]


def http_batch(servers):
    """api: POSTs of 1,000 readings of a sensor"""
    with api(servers, MANY_SENSORS) as (own, accepted):
        return accepted.add(*batches(own))


def http_ndjson(servers):
    """api: POSTs of 1,000 readings of as many sensors, NDJSON, gzip"""
    with api(servers, SENSORS) as (own, accepted), bodies(ndjson) as prefix:
        form = [prefix, BODIES, "application/x-ndjson", "gzip", "/readings"]
        return accepted.add(*warm_and_run(own, "bodies.lua", form, form, BATCH_CONNECTIONS, BATCH))


def http_overload(servers):
    """api: at 0.8 times the bound on its requests a second, and at 3 times; the excess is turned away"""
    with api(servers, SENSORS, HTTP_MAX_RATE=str(RATE_BOUND)) as (own, accepted):
        on_schedule(own, accepted, RATE_BOUND * 8 // 10, WARM_UP_S)
        under = on_schedule(own, accepted, RATE_BOUND * 8 // 10, SIZES.http_seconds)
        over = on_schedule(own, accepted, RATE_BOUND * 3, SIZES.http_seconds)
    if not over["refused"]:
        raise Failed("nothing was turned away: the generator is too slow, or the bound does not hold")
    return {f"under_{name}": under[name] for name in under} | {f"over_{name}": over[name] for name in over}


def http_memory(servers):
    """api: peak memory with 500 busy connections and 2,000 idle ones"""
    with api(servers, SENSORS) as (own, accepted), idle_connections(own, IDLE_CONNECTIONS) as idle:
        seconds = min(SIZES.http_seconds, BUSY_AT_MOST_S)
        figures = accepted.add(*singles(own, BUSY_CONNECTIONS, seconds))
        closed = sum(is_closed(connection) for connection in idle)
        if closed:
            raise Failed(f"{closed} of {len(idle)} idle connections were closed")
        return figures | {"api_peak_mib": own.peak_mib()}


ALL = {
    "reference-single": reference_single,
    "http-single": http_single,
    "reference-batch": reference_batch,
    "http-batch": http_batch,
    "http-ndjson": http_ndjson,
    "http-overload": http_overload,
    "http-memory": http_memory,
}

NEEDS = {
    "http-single": ["reference-single"],
    "http-batch": ["reference-batch"],
    "http-ndjson": ["reference-batch"],
}


class Accepted:
    """What clients were told is in Kafka."""

    def __init__(self, topic):
        self.topic = topic
        self.readings = 0
        self.under_way_at_end = 0

    def add(self, figures, readings, under_way_at_end):
        self.readings += readings
        self.under_way_at_end += under_way_at_end
        return figures

    def check(self):
        """wrk leaves without waiting for its last answers: what those were for may be there as well."""
        held = readings_in(self.topic)
        if not self.readings <= held <= self.readings + self.under_way_at_end:
            raise Failed(f"{self.readings} readings were accepted, Kafka holds {held}")


@contextlib.contextmanager
def api(servers, sensors, **settings):
    topic = servers.new_topic("http")
    accepted = Accepted(topic)
    with migrated(servers, topic, sensors) as database:
        with Api(database, topic, **settings) as own:
            servers.settle()
            yield own, accepted
        accepted.check()


def singles(target, connections, seconds=SIZES.http_seconds):
    warm_up, measured = [[day, SENSORS] for day in (DAY_BEFORE, DAY)]
    return warm_and_run(target, "singles.lua", warm_up, measured, connections, 1, seconds)


def batches(target):
    """Each request has a sensor of its own: the reference inserts no reading twice."""
    with bodies(batch) as prefix:
        form = [prefix, BODIES, "application/json", "identity", "/sensor_data/"]
        warm_up, measured = [[*form, first, MANY_SENSORS, THREADS] for first in (1, MANY_SENSORS // 4)]
        return warm_and_run(target, "bodies.lua", warm_up, measured, BATCH_CONNECTIONS, BATCH)


def on_schedule(own, accepted, rate, seconds):
    """Sends so many a second whatever the answers; latencies of those accepted, from when each was due."""
    flags = ["--target=http", f"--url={own.url}", f"--rate={rate}", f"--duration={seconds}s", f"--sensors={SENSORS}"]
    connections = [f"--connections={SINGLE_CONNECTIONS}", "--json"]
    report = json.loads(load_generator(*flags, *connections, env=environment(own.database, own.topic)))
    # Here every answer is waited for: Kafka must hold exactly what was accepted.
    accepted.add(report, report["records"] - report["refused"], 0)
    return {
        "sent": report["records"],
        "refused": report["refused"],
        "p50_ms": report["ack_ms"]["p50"],
        "p99_ms": report["ack_ms"]["p99"],
    }


def warm_and_run(target, script, warm_up, measured, connections, readings, seconds=SIZES.http_seconds):
    """Figures of the second run; readings accepted in both, and those of requests that wrk left at the end of each."""
    runs = [
        wrk(target.url, script, *arguments, connections=connections, seconds=duration)
        for arguments, duration in [(warm_up, WARM_UP_S), (measured, seconds)]
    ]
    figures = runs[-1] | {"readings_per_second": runs[-1]["requests_per_second"] * readings}
    return figures, sum(run["requests"] for run in runs) * readings, len(runs) * connections * readings


@contextlib.contextmanager
def bodies(make):
    """Files of bodies; what their names begin with, before a number from 1."""
    with tempfile.TemporaryDirectory(prefix="sensorpipe-bench-") as folder:
        for number in range(1, BODIES + 1):
            Path(folder, f"body-{number}").write_bytes(make(random.Random(number)))
        yield f"{folder}/body-"


def batch(chance):
    data = [{"value": value(chance), "timestamp": timestamp(second)} for second in range(BATCH)]
    return json.dumps({"data": data}, separators=(",", ":")).encode()


def ndjson(chance):
    second = chance.randrange(86_400)
    lines = [
        json.dumps({"sensor_id": sensor, "value": value(chance), "timestamp": timestamp(second)}, separators=(",", ":"))
        for sensor in range(1, BATCH + 1)
    ]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=6)


def value(chance):
    return chance.randrange(1_500, 3_000) / 100


def timestamp(second):
    return f"{DAY}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


@contextlib.contextmanager
def idle_connections(target, count):
    """Connections that have been answered once and then say nothing more."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
            stack.callback(connection.close)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            connections.append(connection)
        yield connections


def is_closed(connection):
    """Nothing is under way on an idle connection: what can be read is its end."""
    if connection.sock is None:
        return True
    connection.sock.setblocking(False)
    try:
        return connection.sock.recv(1) == b""
    except BlockingIOError:
        return False
