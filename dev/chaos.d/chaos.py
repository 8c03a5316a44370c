"""One run: servers, load, faults, and then the reckoning; called by dev/chaos, which installs what is needed."""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from datetime import datetime, timezone

import checker
import made_sensors
import processes
import report
from faults.fault import BACK, Measurement
from faults.schedule import ALL, Deck, faults_of
from cluster import Cluster
from ledger import Ledger
from load.http import HttpLoad
from load.kafka import KafkaLoad, TransactionLoad
from load.mix import Mix
from load.sensors import SensorLoad
from observer import Observer
from places import BLOCK, CLIENTS, HOME, LOGS, SENSORPIPE, choose_ports
from series import Series
from servers import Servers
from toxiproxy import Toxiproxy
from world import PARTITIONS, World

SENSORS = 1_200
# Readings a sensor, of which the ledger keeps a byte each.
PER_SENSOR = {False: 10_000, True: 60_000}
# Large records a second into Kafka, requests a second by HTTP. Four servers of Kafka share the machine with what they bring.
RECORDS_PER_S = {False: 40, True: 110}
RECORDS_PER_S_ON_A_CLUSTER = {False: 15, True: 60}
REQUESTS_PER_S = {False: 5, True: 10}
SENSORS_MADE_PER_S = 3
# A quick run is over, servers' start and reckoning and all, in three minutes.
QUICK_FAULTS_S, LONG_MINUTES, LONG_MINUTES_ON_A_CLUSTER = 115, 30, 100
STORED_WITHIN_S, DRAINED_WITHIN_S = 60, 180
STARTED = time.monotonic()


def say(message):
    print(f"chaos: {time.monotonic() - STARTED:6.1f} s  {message}", file=sys.stderr, flush=True)


def parse_arguments():
    kinds = "\n".join(f"  {kind:26} {fault.what}" for kind, fault in ALL.items())
    parser = argparse.ArgumentParser(
        prog="dev/chaos",
        description="Faults against real Kafka and Postgres under load; every reading is accounted for in the end.",
        epilog=f"faults:\n{kinds}\n\nCHAOS_PORT: the first of {BLOCK} ports; SENSORPIPE_BIN: the binary to test",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="three minutes, the debug binary (default)")
    size.add_argument("--long", action="store_true", help="200 faults and 10 million readings, the release binary")
    size.add_argument("--selftest", action="store_true", help="only: does the checker find what is wrong?")
    parser.add_argument("--cluster", action="store_true", help="three brokers, a primary and a standby; faults of these")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--minutes", type=float, help="how long faults are injected")
    parser.add_argument("--faults", metavar="KIND,…", type=lambda text: text.split(","), default=[])
    parser.add_argument("--keep", action="store_true", help="leave the servers' data")
    arguments = parser.parse_args()
    for kind in arguments.faults:
        if kind not in faults_of(arguments.cluster):
            others = "; it is one of the others, with or without --cluster" if kind in ALL else ""
            parser.error(f"there is no fault {kind} here{others}")
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000_000)
    return arguments


class Run:
    """From empty servers to the verdict."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.findings = []
        self.records = []
        self.ports = choose_ports()
        rng = random.Random(f"{arguments.seed}/servers")
        self.servers = Cluster(self.ports, rng) if arguments.cluster else Servers(self.ports)
        self.toxiproxy = self.world = None

    def found(self, what):
        say(f"FOUND: {what}")
        self.findings.append(what)

    def sensorpipe(self, *command, log):
        """Runs a command past the proxies; whether it succeeds."""
        environment = processes.environment(self.servers, "api") | {
            "DATABASE_URL": self.servers.direct_url(),
            "KAFKA_BROKERS": self.servers.brokers,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_REPLICATION": str(self.servers.replication),
        }
        with (LOGS / log).open("a") as file:
            done = subprocess.run([SENSORPIPE, *command], stdout=file, stderr=file, check=False, env=environment)
        return done.returncode == 0

    def prepare(self):
        say(f"seed {self.arguments.seed}, ports from {self.ports.base}, {SENSORPIPE}")
        self.servers.start()
        self.toxiproxy = Toxiproxy(self.ports, self.servers.postgres_proxies())
        if not self.sensorpipe("migrate", log="migrate.log"):
            raise SystemExit(f"migrate fails; see {LOGS}/migrate.log")
        with self.servers.reader() as session:
            [first] = session.execute(
                "WITH made AS (INSERT INTO sensors (sensor_type, location)"
                " SELECT 'chaos', 'rack ' || n %% 40 FROM generate_series(1, %s) n RETURNING sensor_id)"
                " SELECT min(sensor_id) FROM made",
                [SENSORS],
            ).fetchone()
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        per_sensor = PER_SENSOR[self.arguments.long]
        self.series = Series(first, SENSORS, per_sensor, int(midnight.timestamp()))
        self.ledger = Ledger(SENSORS, per_sensor)
        self.made = made_sensors.MadeSensors(self.arguments.seed, int(midnight.timestamp()))
        observer = Observer(self.servers, PARTITIONS)
        places = {
            client: processes.Sensorpipe(self.servers, client, client.split("-")[0], self.found) for client in CLIENTS
        }
        self.world = World(self.servers, self.toxiproxy, places, observer, self.ledger, self.made, self.findings)
        self.world.start()
        observer.start()
        say("servers, api and workers run")

    def start_load(self):
        seed, is_long = self.arguments.seed, self.arguments.long
        records_per_s = (RECORDS_PER_S_ON_A_CLUSTER if self.arguments.cluster else RECORDS_PER_S)[is_long]
        mix = self.mix = Mix(self.series, self.ledger)
        config = self.servers.client_config()
        self.load = [
            KafkaLoad(mix, config, random.Random(f"{seed}/kafka"), records_per_s),
            TransactionLoad(mix, config, random.Random(f"{seed}/transactions")),
        ]
        for number in range(2):
            rng = random.Random(f"{seed}/http/{number}")
            name = f"http-{number}"
            client = HttpLoad(mix, self.ports.http, rng, REQUESTS_PER_S[is_long], self.found, name)
            self.load.append(client)
            self.world.http_clients.append(client)
        self.world.transactions = self.load[1]
        rng = random.Random(f"{seed}/sensors")
        self.load.append(SensorLoad(mix, self.made, self.ports.http, rng, SENSORS_MADE_PER_S, self.found))
        for thread in self.load:
            thread.start()

    def inject_faults(self):
        arguments = self.arguments
        long_minutes = LONG_MINUTES_ON_A_CLUSTER if arguments.cluster else LONG_MINUTES
        minutes = arguments.minutes or (long_minutes if arguments.long else None)
        until = time.monotonic() + minutes * 60 if minutes else STARTED + QUICK_FAULTS_S
        deck = Deck(arguments.seed, arguments.long, arguments.cluster, arguments.faults)
        count = deck.size() if arguments.long else None
        self.world.await_group()
        for fault, rng in deck.shuffled():
            self.inject(fault, rng)
            if time.monotonic() > until or len(self.records) == count:
                break
        for fault, rng in deck.last():
            self.inject(fault, rng)

    def inject(self, fault, rng):
        if fault.needs_group:
            self.world.await_group()
        measurement = Measurement(self.world.observer)
        try:
            fault.run(self.world, rng, measurement)
        except Exception as error:  # noqa: BLE001 - the apparatus failed, not what it tests; the run must say so
            self.found(f"{fault.kind} could not be done: {error!r}")
        measurement.back()
        if not self.world.observer.await_stored(STORED_WITHIN_S):
            behind = self.world.observer.behind()
            self.found(f"{STORED_WITHIN_S} s after {fault.kind} something is still not stored: {behind}")
        measurement.close()
        self.world.restore()
        self.records.append((fault, measurement))
        stall = measurement.stall(fault.counts_from)
        since = " from its end" if fault.counts_from == BACK else ""
        note = f" ({measurement.note})" if measurement.note else ""
        say(f"{len(self.records):4} {fault.kind}{note}: stall {stall:.1f} s{since}")
        self.raise_errors()
        time.sleep(rng.uniform(0, 0.5))

    def raise_errors(self):
        """Threads that have ended do not load or watch any more."""
        errors = [f"{thread.name}: {thread.error!r}" for thread in self.load if thread.error]
        errors += self.world.observer.errors
        if errors:
            raise SystemExit("; ".join(errors))

    def drain(self):
        """Stops the load and waits until all that was sent is stored."""
        self.mix.stopping.set()
        for thread in self.load:
            thread.join()
        self.raise_errors()
        say("load stopped; waiting until everything is stored")
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while not self.world.observer.has_no_open_transaction():
            if time.monotonic() > deadline:
                return self.found("a transaction stays open")
            time.sleep(0.2)
        if not self.world.observer.await_stored(deadline - time.monotonic()):
            self.found(f"not everything is stored within {DRAINED_WITHIN_S} s: {self.world.observer.behind()}")
        return None

    def reckon(self):
        say("checking")
        with self.servers.reader() as session:
            verdict = checker.check(
                self.ledger, self.series, self.made, checker.read_rows(session), checker.read_dead_letters(session),
                checker.read_counts(session), made_sensors.read_names(session),
            )  # fmt: skip
        audit = "this binary has none"
        if self.sensorpipe("audit", "--help", log="audit-help.log"):
            audit = "content" if self.sensorpipe("audit", log="audit.log") else "failed"
        self.findings += processes.panics()
        seconds = time.monotonic() - STARTED
        return report.summarize(self.arguments, seconds, self.records, self.ledger, verdict, self.findings, audit)

    def stop(self):
        if self.world:
            self.world.observer.stop()
            self.world.stop()
        if self.toxiproxy:
            self.toxiproxy.stop()
        self.servers.stop(self.arguments.keep)


def shape_of(arguments):
    size = "--long" if arguments.long else "--quick"
    return f"{size} --cluster" if arguments.cluster else size


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run = Run(parse_arguments())
    try:
        run.prepare()
        run.start_load()
        run.inject_faults()
        run.drain()
        tally = run.reckon()
    finally:
        run.stop()
    file = HOME / time.strftime("%Y-%m-%dT%H%M%SZ.json", time.gmtime())
    report.write(tally, file)
    print(report.as_text(tally))
    say(f"logs are in {LOGS}, the tally is in {file}")
    say(f"to repeat: dev/chaos {shape_of(run.arguments)} --seed {run.arguments.seed}")
    return 1 if tally["failures"] else 0


def status_of_main():
    """Also where it ends by an exception."""
    try:
        return main()
    except SystemExit as end:
        if isinstance(end.code, str):
            say(end.code)
        return end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - shown, and the process ends
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    status = status_of_main()
    sys.stdout.flush()
    # Kafka clients that are in the middle of something would hold up the interpreter's own end.
    os._exit(status)
