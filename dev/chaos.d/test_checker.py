"""A checker that finds nothing is worth nothing: each way in which the tables can be wrong must be found."""

import json
import unittest

import numpy as np

import checker
import poison
import refusals
from ledger import ABORTED, ACKNOWLEDGED, REFUSED, UNKNOWN, Ledger, Parcel
from made_sensors import MadeSensors, value_of
from series import LATE_EVERY, Series

MIDNIGHT = 1_764_547_200
FIRST_SENSOR, SENSORS, PER_SENSOR, SENT = 41, 20, 500, 120


class Checker(unittest.TestCase):
    def setUp(self):
        self.series = Series(FIRST_SENSOR, SENSORS, PER_SENSOR, MIDNIGHT)
        self.ledger = Ledger(SENSORS, PER_SENSOR)
        for sensor in range(SENSORS):
            self.send(Parcel([(sensor, self.ledger.take(sensor, SENT), SENT)]), ACKNOWLEDGED)
        self.letters = [self.letter(reason, number) for number, reason in enumerate(poison.RECORDS)]
        self.rows = self.rows_of(range(SENSORS), range(SENT))
        self.duplicates = 0
        self.made, self.names = MadeSensors(7, MIDNIGHT), {}
        for sensor_id in (FIRST_SENSOR + SENSORS, FIRST_SENSOR + SENSORS + 1):
            self.make(sensor_id)

    def make(self, sensor_id):
        sensor = self.made.new()
        sensor.sensor_id = sensor_id
        self.names[sensor_id] = sensor.name
        numbers = self.made.take(sensor, 3)
        self.made.settle(sensor, numbers, self.ledger.count_copies(len(numbers), ACKNOWLEDGED))
        rows = np.zeros(len(numbers), dtype=checker.ROW)
        rows["sensor_id"] = sensor_id
        rows["value"] = [value_of(sensor, number) for number in numbers]
        rows["time"] = [self.made.time_of(number) * 1_000_000 - checker.EPOCH_2000_US for number in numbers]
        self.rows = np.concatenate([self.rows, rows])

    def send(self, parcel, state):
        self.ledger.note_sent(parcel)
        self.ledger.settle(parcel, state)

    def letter(self, reason, number):
        self.assertEqual(number, self.ledger.take_poison(reason))
        self.ledger.settle(Parcel([], [number]), ACKNOWLEDGED)
        key, value = poison.record(reason, number, FIRST_SENSOR, MIDNIGHT)
        return reason, key, value, (0, number, None)

    def rows_of(self, sensors, sequences):
        sensor, sequence = (grid.ravel() for grid in np.meshgrid(list(sensors), list(sequences)))
        rows = np.zeros(len(sensor), dtype=checker.ROW)
        rows["sensor_id"] = sensor + FIRST_SENSOR
        rows["value"] = self.series.values(sensor, sequence)
        rows["time"] = self.series.times(sensor, sequence) * 1_000_000 - checker.EPOCH_2000_US
        return rows

    def faults(self, rows=None, letters=None, counts=None):
        rows = self.rows if rows is None else rows
        letters = self.letters if letters is None else letters
        counts = counts or (len(rows), self.duplicates, len(letters))
        # In blocks, as they come from the database.
        blocks = np.array_split(rows, 3)
        verdict = checker.check(self.ledger, self.series, self.made, blocks, letters, counts, self.names)
        return dict(verdict.faults)

    def test_what_is_right_is_right(self):
        self.assertEqual(self.faults(), {})

    def test_a_deleted_row_is_lost(self):
        rows = np.delete(self.rows, 77)
        self.assertEqual(self.faults(rows, counts=(len(self.rows), 0, len(self.letters))),
                         {"lost": 1, "counted as stored, against rows": 1})
        # Also where the counts have been tampered with to match.
        self.assertIn("lost", self.faults(rows))

    def test_a_changed_value_is_found(self):
        self.rows["value"][5] = np.nextafter(self.rows["value"][5], 1e9)
        self.assertEqual(self.faults(), {"wrong value": 1})

    def test_a_changed_time_is_a_row_lost_and_one_too_many(self):
        for shift in (1, 1_000_000 * (PER_SENSOR + 1)):
            rows = self.rows.copy()
            rows["time"][5] += shift
            self.assertEqual(self.faults(rows), {"lost": 1, "rows that nobody sent": 1})

    def test_an_extra_row_is_found(self):
        for extra in (self.rows_of([3], [SENT]), self.rows_of([SENSORS], [1])):
            found = self.faults(np.concatenate([self.rows, extra]), counts=(len(self.rows) + 1, 0, len(self.letters)))
            self.assertEqual(found["rows that nobody sent"], 1)

    def test_a_row_twice_is_found_within_a_block_and_across(self):
        for other in (self.rows[:1], self.rows[-1:]):
            found = self.faults(np.concatenate([self.rows, other]))
            self.assertEqual(found["stored twice"], 1)

    def test_a_missing_dead_letter_is_found(self):
        self.assertEqual(self.faults(letters=self.letters[1:]), {"dead letter missing": 1})

    def test_a_dead_letter_twice_is_found(self):
        again = (*self.letters[0][:3], (0, 99, None))
        self.assertEqual(self.faults(letters=[*self.letters, again]), {"dead-lettered twice": 1})
        same_place = [*self.letters, self.letters[0]]
        self.assertEqual(self.faults(letters=same_place), {"dead-lettered twice": 2})

    def test_a_wrong_reason_is_found(self):
        self.letters[0] = (poison.SENSOR, *self.letters[0][1:])
        self.assertEqual(self.faults(), {"wrong reason": 1})

    def test_a_good_reading_among_the_dead_letters_is_found(self):
        letter = (poison.VALUE, b"42", b'{"sensor_id":42,"value":1.5}', (1, 5, None))
        self.assertEqual(self.faults(letters=[*self.letters, letter]), {"wrongly dead-lettered": 1})

    def test_a_reading_that_a_trigger_refused_is_in_its_letter(self):
        refused = [refusals.is_refused(value) for value in self.rows["value"]]
        for at, is_accounted_for in [(refused.index(True), True), (refused.index(False), False)]:
            row = self.rows[at]
            time_s = (int(row["time"]) + checker.EPOCH_2000_US) // 1_000_000
            item = {"sensor_id": int(row["sensor_id"]), "value": float(row["value"]), "timestamp": time_s}
            letter = (checker.REFUSED_BY_DATABASE, None, json.dumps(item).encode(), (2, 7, None))
            found = self.faults(np.delete(self.rows, at), letters=[*self.letters, letter])
            if is_accounted_for:
                self.assertEqual(found, {})
            else:
                self.assertEqual(found["wrongly dead-lettered"], 1)
                self.assertEqual(found["lost"], 1)

    def test_a_reading_on_another_sensor_is_found(self):
        self.rows["sensor_id"][-1] = FIRST_SENSOR + SENSORS
        self.assertEqual(self.faults(), {"on another sensor": 1})

    def test_an_id_that_is_given_out_again_is_found(self):
        first, second = sorted(self.names)
        self.names[first] = self.names.pop(second)
        found = self.faults()
        self.assertEqual(found["an id given to another sensor"], 1)
        self.assertEqual(found["a sensor lost"], 1)
        self.assertEqual(found["on another sensor"], 6)

    def test_a_reading_of_a_made_sensor_that_is_gone_is_lost(self):
        self.assertEqual(self.faults(self.rows[:-1], counts=(len(self.rows), 0, len(self.letters)))["lost"], 1)

    def test_what_one_broker_alone_acknowledged_may_be_stored_or_not(self):
        self.ledger.is_at_risk = True
        self.send(Parcel([(0, self.ledger.take(0, 2), 2)]), ACKNOWLEDGED)
        self.assertEqual(self.faults(), {})
        self.assertEqual(self.faults(np.concatenate([self.rows, self.rows_of([0], [SENT])])), {})

    def test_a_log_that_is_read_again_makes_any_number_of_duplicates(self):
        self.duplicates = 50
        self.assertNotEqual(self.faults(), {})
        self.ledger.is_read_again = True
        self.assertEqual(self.faults(), {})
        counts = (len(self.rows), self.duplicates, len(self.letters) + 3)
        self.assertEqual(self.faults(counts=counts), {}, "its letters are there already")

    def test_what_is_unknown_may_be_stored_or_not(self):
        self.send(Parcel([(0, self.ledger.take(0, 2), 2)]), UNKNOWN)
        self.assertEqual(self.faults(), {})
        self.assertEqual(self.faults(np.concatenate([self.rows, self.rows_of([0], [SENT])])), {})

    def test_what_is_acknowledged_once_must_be_stored_whatever_became_of_other_copies(self):
        parcel = Parcel([(0, self.ledger.take(0, 2), 2)])
        for state in (UNKNOWN, ACKNOWLEDGED, UNKNOWN):
            self.send(parcel, state)
        self.assertEqual(self.faults()["lost"], 2)

    def test_what_was_aborted_or_refused_must_not_be_stored(self):
        for state, kind in [
            (ABORTED, "stored though its transaction was aborted"),
            (REFUSED, "stored though refused"),
        ]:
            first = self.ledger.take(1, 1)
            self.send(Parcel([(1, first, 1)]), state)
            self.assertEqual(self.faults(), {})
            found = self.faults(np.concatenate([self.rows, self.rows_of([1], [first])]))
            self.assertEqual(found[kind], 1)

    def test_duplicates_are_counted_by_both_sides(self):
        self.send(Parcel([(2, 0, 50)]), ACKNOWLEDGED)
        self.assertEqual(self.faults(), {"copies stored, duplicate or refused, against copies sent": 50})
        self.duplicates = 50
        self.assertEqual(self.faults(), {})

    def test_a_late_reading_is_told_from_a_row_that_nobody_sent(self):
        late = self.rows["time"].argmin()
        sensors, sequences, ours = self.series.find(
            self.rows["sensor_id"][[late]].astype(np.int64), self.rows["time"][[late]] + checker.EPOCH_2000_US
        )
        self.assertTrue(ours.all())
        self.assertEqual(sequences[0] % LATE_EVERY, LATE_EVERY - 1)
        self.assertEqual(sensors[0], self.rows["sensor_id"][late] - FIRST_SENSOR)


class CopyFormat(unittest.TestCase):
    """Blocks of any size make the same rows."""

    def test_rows_are_cut_out_of_blocks(self):
        rows = np.zeros(40_000, dtype=checker.ROW)
        rows["columns"], rows["l1"], rows["l2"], rows["l3"] = 3, 4, 8, 8
        rows["sensor_id"] = np.arange(len(rows))
        text = b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"
        for size in (7, 65_536, len(text)):
            blocks = [text[at : at + size] for at in range(0, len(text), size)]
            read = np.concatenate(list(checker.cut_rows(blocks)))
            self.assertTrue((read == rows).all())


if __name__ == "__main__":
    unittest.main()
