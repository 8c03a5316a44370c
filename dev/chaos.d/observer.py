"""Watches, past every proxy, how far each partition is stored, and for how long one stands still.

A partition waits while the log has records behind its stored offset that a reader may see (the last stable offset:
open transactions do not count). Its stall is the time since it last moved, or began to wait.
"""

import contextlib
import os
import socket
import threading
import time

import psycopg
from confluent_kafka import IsolationLevel, KafkaException

from places import TOPIC

LOOK_EVERY_S = 0.05
ENDS_EVERY_S = 0.1


class Watch:
    """The longest stall from the moment it was begun until it is closed."""

    def __init__(self):
        self.began = time.monotonic()
        self.longest = 0.0
        self.partition = None
        self.is_open = True

    def see(self, partition, since, now):
        stall = now - max(since, self.began)
        if stall > self.longest:
            self.longest, self.partition = stall, partition

    def close(self):
        self.is_open = False


class Observer:
    """Two threads: one asks Kafka for the ends of the log, one the database for the stored offsets."""

    def __init__(self, servers, partitions):
        self.servers, self.partitions = servers, partitions
        self.ends, self.stored, self.waiting_since = {}, {}, {}
        self.watches = []
        self.errors = []
        self.last_error = None
        self._session = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._guard, args=(loop,), daemon=True)
            for loop in (self._follow_ends, self._follow_stored)
        ]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def drop_session(self):
        """One whose server has fallen silent would wait for its answer."""
        session = self._session
        # It may end by itself just now.
        with contextlib.suppress(OSError, psycopg.Error):
            if session and not session.closed:
                with socket.socket(fileno=os.dup(session.fileno())) as connection:
                    connection.shutdown(socket.SHUT_RDWR)

    def watch(self):
        watch = Watch()
        with self._lock:
            self.watches = [other for other in self.watches if other.is_open] + [watch]
        return watch

    def await_stored(self, within_s):
        """Until what the log holds now is stored; whether it was in time."""
        deadline = time.monotonic() + within_s
        while not (ends := self.ask_ends()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        while time.monotonic() < deadline:
            with self._lock:
                if all(self.stored.get(partition, 0) >= end for partition, end in ends.items()):
                    return True
            time.sleep(LOOK_EVERY_S)
        return False

    def await_growth(self, within_s):
        """Until every partition has got something new; whether it was in time."""
        deadline = time.monotonic() + within_s
        before = self.ask_ends()
        while time.monotonic() < deadline:
            now = self.ask_ends()
            if now and all(end > before.get(partition, 0) for partition, end in now.items()):
                return True
            time.sleep(ENDS_EVERY_S)
        return False

    def behind(self):
        """Partitions that wait, for people."""
        if not self.ask_ends():
            return f"Kafka does not say how far the log goes: {self.last_error!r}"
        with self._lock:
            return {
                partition: f"{self.stored.get(partition)} of {end}"
                for partition, end in sorted(self.ends.items())
                if self.stored.get(partition, 0) < end
            }

    def has_no_open_transaction(self):
        """Whether a reader may see all that is there."""
        visible = self.ask_ends()
        return bool(visible) and visible == self.ask_ends(IsolationLevel.READ_UNCOMMITTED)

    def ask_ends(self, isolation=IsolationLevel.READ_COMMITTED):
        """The last stable offset of each partition, or its end; nothing where Kafka does not answer."""
        try:
            return self.servers.ends(self.partitions, isolation)
        except (KafkaException, TimeoutError) as error:
            self.last_error = error
            if self.servers.kafka_is_up.is_set():
                self.servers.renew_admin()
            return {}

    def _guard(self, loop):
        try:
            loop()
        except Exception as error:  # noqa: BLE001 - without it nothing is measured any more, and the run must say so
            self.errors.append(f"the observer: {error!r}")

    def _follow_ends(self):
        while not self._stopping.wait(ENDS_EVERY_S):
            if self.servers.kafka_is_up.is_set() and (ends := self.ask_ends()):
                with self._lock:
                    self.ends |= ends

    def _follow_stored(self):
        while not self._stopping.wait(LOOK_EVERY_S):
            self._see(dict(self._ask_stored()), time.monotonic())
        if self._session:
            self._session.close()

    def _ask_stored(self):
        """Nothing where the database does not answer."""
        if not self.servers.postgres_is_up.is_set():
            self.drop_session()
            self._session = None
            return []
        try:
            self._session = self._session or self.servers.reader()
            return self._session.execute(
                "SELECT partition, next_offset FROM ingest_offsets WHERE topic = %s", [TOPIC]
            ).fetchall()
        except psycopg.Error:
            self._session = None
            return []

    def _see(self, stored, now):
        """Also where the database does not answer: then nothing moves."""
        with self._lock:
            for partition, end in self.ends.items():
                before = self.stored.get(partition, 0)
                offset = self.stored[partition] = stored.get(partition, before)
                if offset >= end:
                    self.waiting_since.pop(partition, None)
                    continue
                since = self.waiting_since.setdefault(partition, now)
                # The step that ends a stall counts to its stall.
                self._tell(partition, since, now)
                # Where the database has lost its tail the offset goes back, and nothing is stored by that.
                if offset > before:
                    self.waiting_since[partition] = now

    def _tell(self, partition, since, now):
        for watch in self.watches:
            if watch.is_open:
                watch.see(partition, since, now)
