"""Databases, topics and processes of the benchmark's own; all gone when it ends."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
PARTITIONS = 4
PSQL_ENDS_WITHIN_S = 60


def say(message):
    print(f"{os.environ.get('SAY_AS', 'bench')}: {message}", file=sys.stderr, flush=True)


class Failed(Exception):
    """A run did not do what it should; its figures would mean nothing."""


class Servers:
    """Kafka and Postgres, and what the benchmark has there."""

    def __init__(self):
        self.prefix = f"sensorpipe_bench_{os.getpid()}"
        self.count = 0
        self.topics = []
        # Topics by what is in them, and databases that take minutes to fill.
        self.preloaded = {}
        self.large = None
        self.histories = {}
        self.kept = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kept.close()
        if self.topics:
            subprocess.run([TARGET / "delete_topics", *self.topics], check=False)

    def name(self, what):
        self.count += 1
        return f"{self.prefix}_{self.count}_{what}"

    @contextlib.contextmanager
    def database(self, what):
        """An empty database with TimescaleDB."""
        name = self.name(what).replace("-", "_")
        url = os.environ["DATABASE_URL"]
        with Session(url) as session:
            session.run(f"CREATE DATABASE {name}")
        database = Database(url.rsplit("/", 1)[0] + "/" + name)
        try:
            with database.session() as session:
                session.run("CREATE EXTENSION IF NOT EXISTS timescaledb")
            yield database
        finally:
            with superuser() as session:
                # Nobody else may end autovacuum and TimescaleDB's own processes.
                session.run(f"DROP DATABASE {name} WITH (FORCE)")

    def new_topic(self, what):
        name = self.name(what)
        self.topics.append(name)
        return name

    def settle(self):
        """Writes out what earlier runs left, so that the next one does not pay for it."""
        os.sync()
        with superuser() as session:
            session.run("CHECKPOINT")


class Database:
    def __init__(self, url):
        self.url = url

    def session(self):
        return Session(self.url)


class Session:
    """One psql for many questions."""

    def __init__(self, url):
        self.psql = subprocess.Popen(
            ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PGOPTIONS": "-c client_min_messages=error"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.psql.stdin.close()
        self.psql.wait(PSQL_ENDS_WITHIN_S)
        self.psql.stdout.close()
        self.psql.stderr.close()

    def run(self, sql):
        """Statements that answer nothing anybody wants."""
        self._send(f"{sql};\n\\echo done\n")
        while self._line() != "done":
            pass

    def ask(self, sql):
        """The one line that a query answers."""
        self._send(f"{sql};\n")
        return self._line()

    def _send(self, text):
        try:
            self.psql.stdin.write(text)
            self.psql.stdin.flush()
        except BrokenPipeError:
            self._fail()

    def _line(self):
        line = self.psql.stdout.readline()
        if not line:
            self._fail()
        return line.rstrip("\n")

    def _fail(self):
        raise Failed(f"psql: {self.psql.stderr.read().strip()}")


def superuser():
    """As dev/services has it."""
    host = os.environ["DATABASE_URL"].split("@")[-1].rsplit("/", 1)[0]
    return Session(f"postgres://postgres@{host}/postgres")


def environment(database, topic=None, **more):
    """What sensorpipe needs to know, and nothing of the caller's own settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_CONFIG_")}
    # Of what goes wrong the message is shown, not the stack.
    own |= {"DATABASE_URL": database.url, "LOG_LEVEL": "warn", "RUST_BACKTRACE": "0"}
    if topic:
        # A group of its own: nothing is left of another run.
        group = f"{topic}_{time.monotonic_ns()}"
        own |= {"KAFKA_TOPIC": topic, "KAFKA_GROUP": group, "KAFKA_PARTITIONS": str(PARTITIONS)}
    return own | more


def sensorpipe(role, *flags, **more):
    """Runs a command to its end; its output."""
    return _output(f"sensorpipe {role}", [TARGET / "sensorpipe", role, *map(str, flags)], **more)


def load_generator(*flags, **more):
    """Runs the load generator to its end; its output."""
    return _output("sensorpipe-load", [TARGET / "sensorpipe-load", *map(str, flags)], **more)


def _output(name, command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise Failed(f"{name}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def copy_floor(database, way, sensors, count, **flags):
    """What COPY alone takes; its figures."""
    options = [f"--{name}={value}" for name, value in flags.items()]
    command = [TARGET / "copy_floor", "--way", way, f"--sensors={sensors}", f"--count={count}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(database))
    if done.returncode != 0:
        raise Failed(f"copy_floor: {done.stderr.strip()}")
    return json.loads(done.stdout)


def readings_in(topic):
    """How many readings a topic holds: each has one field of this name, whatever the record's form."""
    field = b'"value"'
    brokers = os.environ["KAFKA_BROKERS"]
    command = ["kcat", "-b", brokers, "-C", "-q", "-e", "-o", "beginning", "-t", topic, "-f", "%s\\n"]
    count, kept = 0, b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as kcat:
        while block := kcat.stdout.read(1 << 20):
            text = kept + block
            count += text.count(field)
            # What may be the start of one; too short to be counted twice.
            kept = text[1 - len(field) :]
        problem = kcat.stderr.read().decode(errors="replace").strip()
    if kcat.returncode != 0:
        raise Failed(f"kcat: {problem[-2000:]}")
    return count
