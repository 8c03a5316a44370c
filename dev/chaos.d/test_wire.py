"""Error codes are found where Kafka's own message definitions have them, in both forms that answers come in."""

import struct
import unittest

import wire


def strings(value):
    return struct.pack(">h", len(value)) + value


class ErrorPlaces(unittest.TestCase):
    def check(self, api, version, parts):
        """`parts` of an answer after its correlation id; each error is None."""
        answer, places = struct.pack(">i", 7), []
        for part in parts:
            if part is None:
                places.append(len(answer))
                part = b"\0\0"
            answer += part
        self.assertEqual(wire.error_places(api, version, answer), places)

    def test_heartbeat(self):
        self.check(wire.HEARTBEAT, 3, [bytes(4), None])
        # Tagged fields of the header and of the answer.
        self.check(wire.HEARTBEAT, 4, [b"\0", bytes(4), None, b"\1\5\3abc"])

    def test_what_follows_in_an_answer_of_a_group_is_of_no_interest(self):
        self.check(wire.JOIN_GROUP, 5, [bytes(4), None, b"anything"])

    def test_fetch_before_and_after_compact_forms(self):
        partition = bytes(24), struct.pack(">i", 1), bytes(16), bytes(4), struct.pack(">i", 3), b"xyz"
        one, two = struct.pack(">i", 1), struct.pack(">i", 2)
        self.check(
            wire.FETCH, 11,
            [bytes(4), None, bytes(4), one, strings(b"topic"), two, bytes(4), None, *partition,
             bytes(4), None, bytes(24), b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\xff"],
        )  # fmt: skip
        compact = bytes(24), b"\2", bytes(16), b"\0", bytes(4), b"\4", b"xyz", b"\0"
        self.check(
            wire.FETCH, 16,
            [b"\0", bytes(4), None, bytes(4), b"\2", bytes(16), b"\3", bytes(4), None, *compact,
             bytes(4), None, bytes(24), b"\0", bytes(4), b"\0", b"\1\2\4abcd", b"\0", b"\1\1\1z"],
        )  # fmt: skip

    def test_a_length_of_several_bytes(self):
        records = bytes(300)
        self.check(
            wire.FETCH, 16,
            [b"\0", bytes(4), None, bytes(4), b"\2", bytes(16), b"\2", bytes(4), None, bytes(24), b"\0", bytes(4),
             b"\xad\x02", records, b"\0", b"\0", b"\0"],
        )  # fmt: skip

    def test_an_answer_that_is_not_understood_is_no_answer_without_errors(self):
        with self.assertRaises(ValueError):
            wire.error_places(wire.HEARTBEAT, 3, bytes(11))


if __name__ == "__main__":
    unittest.main()
