"""Holds the tables against the ledger, whole, in bounded memory.

It knows nothing of sensorpipe but the tables' columns: a row's sensor and time say which reading it is, and which
value it must have.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime

import numpy as np

import made_sensors
import poison
import refusals
from ledger import ABORTED, ACKNOWLEDGED, AT_RISK, REFUSED, UNKNOWN, UNSENT

# One row of COPY in binary form: its count of columns, then length and value of each.
ROW = np.dtype(
    [("columns", ">i2"), ("l1", ">i4"), ("sensor_id", ">i4"), ("l2", ">i4"), ("value", ">f8"), ("l3", ">i4"), ("time", ">i8")]
)
HEADER_BYTES = 19
EPOCH_2000_US = 946_684_800_000_000
# A hypertable's own COPY has none of its chunks' rows.
COPY_READINGS = "COPY (SELECT sensor_id, value, time FROM sensor_data) TO STDOUT (FORMAT binary)"
EXAMPLES = 5
MILLISECONDS_FROM = 20_000_000_000
REFUSED_BY_DATABASE = "rejected_by_database"


@dataclass
class Verdict:
    """Counts by what is wrong, some examples, and what was found at all."""

    faults: Counter = field(default_factory=Counter)
    examples: list = field(default_factory=list)
    rows: int = 0
    stored: int = 0
    duplicates: int = 0
    dead_letters: Counter = field(default_factory=Counter)
    # Dead letters of good readings, which triggers of this run have refused or dropped.
    refused: int = 0
    # Sensors that were made and answered for.
    sensors: int = 0

    def fault(self, kind, count, examples=()):
        if count:
            self.faults[kind] += int(count)
            self.examples += [f"{kind}: {example}" for example in list(examples)[:EXAMPLES]]

    def is_good(self):
        return not self.faults

    def as_dict(self):
        return asdict(self)


def read_rows(session):
    """Arrays of the table's rows, block by block."""
    with session.cursor() as cursor, cursor.copy(COPY_READINGS) as copy:
        yield from cut_rows(copy)


def cut_rows(blocks):
    """Arrays of rows out of blocks of bytes that end anywhere."""
    held, is_first = bytearray(), True
    for block in blocks:
        held += block
        if is_first:
            if len(held) < HEADER_BYTES:
                continue
            del held[:HEADER_BYTES]
            is_first = False
        # Few rows come in a block; an array is to be worth its while.
        if len(held) >= 1 << 20:
            yield whole_rows(held)
            del held[: len(held) // ROW.itemsize * ROW.itemsize]
    # What is left besides is the trailer.
    yield whole_rows(held)


def whole_rows(held):
    return np.frombuffer(bytes(held[: len(held) // ROW.itemsize * ROW.itemsize]), dtype=ROW)


def read_dead_letters(session):
    """(reason, key, payload, where it stood: before a log was cut, its topic's id is another one)"""
    query = 'SELECT reason, key, payload, topic_id, "partition", "offset", item FROM dead_letters ORDER BY id'
    with session.transaction(), session.cursor(name="letters") as cursor:
        cursor.itersize = 5_000
        for reason, key, payload, *place in cursor.execute(query):
            yield reason, key, payload, tuple(place)


def read_counts(session):
    """(stored, duplicates, dead-lettered), as sensorpipe counts them."""
    query = "SELECT sum(stored)::bigint, sum(duplicates)::bigint, sum(dead_lettered)::bigint FROM ingest_offsets"
    return session.execute(query).fetchone()


def check(ledger, series, made, blocks, dead_letters, counts, names):
    """`blocks` of rows, the dead letters, the counts, the names of sensors that were made."""
    verdict = Verdict()
    set_aside = check_dead_letters(verdict, ledger, series, dead_letters)
    others = check_rows(verdict, ledger, series, blocks, set_aside)
    made_sensors.check(verdict, made, names, others)
    check_counts(verdict, ledger, counts)
    return verdict


def check_rows(verdict, ledger, series, blocks, set_aside):
    """Returns rows of sensors that came after those of the series."""
    seen = np.zeros_like(ledger.states, dtype=bool)
    others = []
    for block in blocks:
        verdict.rows += len(block)
        sensor_ids, times = block["sensor_id"].astype(np.int64), block["time"] + EPOCH_2000_US
        sensors, sequences, ours = series.find(sensor_ids, times)
        is_later = sensor_ids >= series.first_sensor + series.sensors
        others += zip(sensor_ids[is_later].tolist(), times[is_later].tolist(), block["value"][is_later].tolist())
        foreign = np.flatnonzero(~ours & ~is_later)
        verdict.fault("rows that nobody sent", len(foreign), (described(block[at]) for at in foreign[:EXAMPLES]))
        sensors, sequences, values = sensors[ours], sequences[ours], block["value"][ours]
        wrong = np.flatnonzero(values != series.values(sensors, sequences))
        verdict.fault(
            "wrong value", len(wrong),
            (f"sensor {sensors[at]}, reading {sequences[at]}: {values[at]}" for at in wrong[:EXAMPLES]),
        )  # fmt: skip
        cells = sensors * series.per_sensor + sequences
        again = len(cells) - len(np.unique(cells)) + np.count_nonzero(seen[sensors, sequences])
        verdict.fault("stored twice", again)
        seen[sensors, sequences] = True
    for kind, bad in [
        ("lost", (ledger.states == ACKNOWLEDGED) & ~seen & ~set_aside),
        ("rows that nobody sent", (ledger.states == UNSENT) & seen),
        ("stored though its transaction was aborted", (ledger.states == ABORTED) & seen),
        ("stored though refused", (ledger.states == REFUSED) & seen),
    ]:
        cells = np.argwhere(bad)
        verdict.fault(kind, len(cells), (f"sensor {one}, reading {two}" for one, two in cells[:EXAMPLES]))
    verdict.stored = int(np.count_nonzero(seen))
    return others


def described(row):
    return f"sensor {row['sensor_id']}, {row['time']} µs since 2000, {row['value']}"


def check_dead_letters(verdict, ledger, series, dead_letters):
    """Says which readings of the series a trigger had refused: they are in a letter in place of the table."""
    seen, places = Counter(), set()
    set_aside = np.zeros_like(ledger.states, dtype=bool)
    for reason, key, payload, place in dead_letters:
        verdict.dead_letters[reason] += 1
        number = poison.number_in(payload, key)
        if place in places:
            verdict.fault("dead-lettered twice", 1, [place])
        places.add(place)
        cell = refused_cell(series, payload) if number is None and reason == REFUSED_BY_DATABASE else None
        if cell:
            set_aside[cell] = True
            verdict.refused += 1
            if ledger.states[cell] in (UNSENT, ABORTED, REFUSED):
                verdict.fault("dead-lettered though not taken", 1, [f"{reason} at {place}"])
            continue
        if number is None or number >= len(ledger.poison_reasons):
            verdict.fault("wrongly dead-lettered", 1, [f"{reason} at {place}: {(payload or b'')[:120]}"])
            continue
        seen[number] += 1
        expected = ledger.poison_reasons[number]
        if reason != expected:
            verdict.fault("wrong reason", 1, [f"{reason} for {expected} at {place}"])
        if ledger.poison_states[number] in (ABORTED, REFUSED):
            verdict.fault("dead-lettered though not taken", 1, [f"{reason} at {place}"])
    missing = [
        number
        for number, state in enumerate(ledger.poison_states)
        if state == ACKNOWLEDGED and not seen[number]
    ]
    verdict.fault("dead letter missing", len(missing), (ledger.poison_reasons[number] for number in missing))
    twice = [number for number, count in seen.items() if count > 1]
    verdict.fault("dead-lettered twice", len(twice), (ledger.poison_reasons[number] for number in twice))
    return set_aside


def refused_cell(series, payload):
    """Sensor and number of the reading in a letter that a trigger of ours is the reason of; None for any other."""
    letter = json.loads(payload)
    item = letter["data"][0] if "data" in letter else letter
    time = item["timestamp"]
    seconds = int(datetime.fromisoformat(time).timestamp()) if isinstance(time, str) else int(time)
    # As the contract has it: so large a number is in milliseconds.
    seconds = seconds // 1_000 if seconds > MILLISECONDS_FROM else seconds
    sensors, sequences, ours = series.find(np.array([letter["sensor_id"]]), np.array([seconds * 1_000_000]))
    if not ours[0] or not refusals.is_refused(float(item["value"])):
        return None
    return int(sensors[0]), int(sequences[0])


def check_counts(verdict, ledger, counts):
    """What sensorpipe says of itself must agree with the tables and with what was sent."""
    stored, verdict.duplicates, dead_lettered = counts
    letters = verdict.dead_letters.total()
    verdict.fault("counted as stored, against rows", abs(stored - verdict.rows), [f"{stored} and {verdict.rows}"])
    verdict.fault(
        # What is read again is counted again, and has one letter still.
        "counted as dead-lettered, against dead letters",
        max(0, letters - dead_lettered) if ledger.is_read_again else abs(dead_lettered - letters),
        [f"{dead_lettered} and {letters}"],
    )  # fmt: skip
    at_least = ledger.copies[ACKNOWLEDGED]
    at_most = at_least + ledger.copies[UNKNOWN] + ledger.copies[AT_RISK]
    good = stored + verdict.duplicates + verdict.refused
    verdict.fault(
        "copies stored, duplicate or refused, against copies sent",
        max(at_least - good, 0 if ledger.is_read_again else good - at_most, 0),
        [f"{good}, which is not between {at_least} and {at_most}"],
    )  # fmt: skip
