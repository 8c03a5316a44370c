"""Straight into the topic: one producer that is idempotent, and one whose transactions often abort."""

import contextlib
import threading
import time
from collections import deque

from confluent_kafka import KafkaError, KafkaException, Producer

from ledger import ABORTED, ACKNOWLEDGED, UNKNOWN
from load.mix import LARGE
from load.pace import Pace
from places import TOPIC

# Acknowledged records that may be sent a second time.
KEPT = 500
# Duplicates come together, as when a client starts over: the others' batches are to know no conflict.
BURST, BURST_CHANCE = 20, 0.002
FLUSH_WITHIN_S = 60
TRANSACTIONS_PER_S = 1
# The broker ends what a producer left open: the readers of its partitions wait for that.
TRANSACTION_TIMEOUT_MS = 4_000
ATTEMPTS = 30
IDLE_WITHIN_S = 60


class KafkaLoad(threading.Thread):
    """Records of all forms, now and then some again."""

    def __init__(self, mix, config, rng, records_per_s):
        super().__init__(name="kafka-load", daemon=True)
        self.mix, self.rng, self.records_per_s = mix, rng, records_per_s
        self.config = config | {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4"}
        self.producer, self.given_up = None, []
        # Readings that the producer was given and has not said anything of.
        self.in_flight = 0
        self.acknowledged = deque(maxlen=KEPT)
        self.error = None

    def run(self):
        try:
            self.producer = Producer(self.config)
            pace = Pace(self.records_per_s)
            while pace.wait(self.mix.stopping):
                try:
                    for record in self.draw():
                        self.send(record)
                    self.producer.poll(0)
                except KafkaException as failure:
                    self.replace_producer(failure)
            self.producer.flush(FLUSH_WITHIN_S)
        except Exception as error:  # noqa: BLE001 - the run asks for it
            self.error = error

    def replace_producer(self, failure):
        """An idempotent one is of no more use once a log has lost its end."""
        error = failure.args[0]
        if not (error.fatal() or error.code() == KafkaError._FATAL):
            raise failure
        # Kept, and not asked any more: its callbacks would come with its error still set, and its end would wait for them.
        self.given_up.append(self.producer)
        self.mix.ledger.give_up(self.in_flight)
        self.in_flight = 0
        self.producer = Producer(self.config)

    def draw(self):
        dice = self.rng.random()
        if dice < BURST_CHANCE and self.acknowledged:
            return self.rng.choices(self.acknowledged, k=BURST)
        if dice < 0.86:
            return [self.mix.one_sensors(self.rng, LARGE)]
        if dice < 0.91:
            return [self.mix.many_sensors(self.rng, 3, 10)]
        if dice < 0.96:
            return [self.mix.lone(self.rng)]
        if dice < 0.98:
            return [self.mix.one_sensors(self.rng, LARGE, bad_items=2)]
        return [self.mix.poisonous(self.rng)]

    def send(self, record):
        while True:
            try:
                self.producer.produce(TOPIC, record.value, record.key, on_delivery=self.delivered(record))
            except BufferError:
                self.producer.poll(0.1)
                if self.mix.stopping.is_set():
                    return
                continue
            self.in_flight += record.parcel.readings()
            return self.mix.ledger.note_sent(record.parcel)

    def delivered(self, record):
        def settle(error, _):
            self.in_flight -= record.parcel.readings()
            self.mix.ledger.settle(record.parcel, UNKNOWN if error else ACKNOWLEDGED)
            if not error and record.parcel.runs and not record.parcel.poison:
                self.acknowledged.append(record)
        return settle


class TransactionLoad(threading.Thread):
    """Transactions of a few records; a third of them abort, and none of theirs may ever be seen."""

    def __init__(self, mix, config, rng):
        super().__init__(name="transaction-load", daemon=True)
        self.mix, self.rng = mix, rng
        self.config = config | {"transactional.id": "chaos", "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS}
        self.error = None
        self._pausing, self._is_idle = threading.Event(), threading.Event()

    def run(self):
        try:
            pace = Pace(TRANSACTIONS_PER_S)
            producer = None
            while pace.wait(self.mix.stopping):
                if self._pausing.is_set():
                    self._is_idle.set()
                else:
                    producer = self.one(producer or self.begin())
        except Exception as error:  # noqa: BLE001 - the run asks for it
            self.error = error

    @contextlib.contextmanager
    def paused(self, observer):
        """No transaction is open meanwhile, nor any that was given up."""
        self._is_idle.clear()
        self._pausing.set()
        try:
            deadline = time.monotonic() + IDLE_WITHIN_S
            while not (self._is_idle.wait(0.2) and observer.has_no_open_transaction()):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"a transaction is open for more than {IDLE_WITHIN_S} s")
            yield
        finally:
            self._pausing.clear()

    def begin(self):
        """A new producer; what the one before left open is aborted by that."""
        while not self.mix.stopping.is_set():
            producer = Producer(self.config)
            try:
                producer.init_transactions(5)
                return producer
            except KafkaException:
                self.mix.stopping.wait(0.5)
        return None

    def one(self, producer):
        """A transaction; the producer, or none where it is of no more use."""
        if not producer:
            return None
        records = [self.mix.one_sensors(self.rng, 20) for _ in range(self.rng.randint(1, 5))]
        is_to_abort = self.rng.random() < 0.3
        outcome, producer = self.send(producer, records, is_to_abort)
        for record in records:
            self.mix.ledger.note_sent(record.parcel)
            self.mix.ledger.settle(record.parcel, outcome)
        return producer

    def send(self, producer, records, is_to_abort):
        try:
            producer.begin_transaction()
            for record in records:
                producer.produce(TOPIC, record.value, record.key)
            if is_to_abort:
                # On the broker before it is aborted, or there would be nothing to see.
                producer.flush(2)
        except (KafkaException, BufferError):
            # Never committed: this producer is given up, and the next one aborts it.
            return ABORTED, None
        for _ in range(ATTEMPTS):
            try:
                producer.abort_transaction(2) if is_to_abort else producer.commit_transaction(2)
                return (ABORTED if is_to_abort else ACKNOWLEDGED), producer
            except KafkaException as failure:
                error = failure.args[0]
                if error.txn_requires_abort() and not is_to_abort:
                    is_to_abort = True
                elif not error.retriable():
                    break
        return (ABORTED if is_to_abort else UNKNOWN), None
