"""Where error codes stand in the answers of a Kafka broker, going by the protocol's own message definitions:
https://kafka.apache.org/protocol and clients/src/main/resources/common/message in Kafka's source.

A layout is a list of fields, in the order of the wire: (what, first version, last version). What is a number of bytes, one
of the names below, or a list: an array of structures.
"""

import struct
from dataclasses import dataclass

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 0, 1, 2, 3, 8, 11, 12, 14
API_VERSIONS = 18
NAMES = {
    PRODUCE: "Produce", FETCH: "Fetch", LIST_OFFSETS: "ListOffsets", METADATA: "Metadata", OFFSET_COMMIT: "OffsetCommit",
    JOIN_GROUP: "JoinGroup", HEARTBEAT: "Heartbeat", SYNC_GROUP: "SyncGroup",
}  # fmt: skip
# REST is what is of no interest: it is taken as it is.
TEXT, BYTES, NUMBERS, ERROR, TAGS, REST = "text", "bytes", "numbers", "error", "tags", "rest"
INT8, INT16, INT32, INT64, UUID = 1, 2, 4, 8, 16
LAST = 99


def since(what, first, last=LAST):
    return what, first, last


def always(what):
    return what, 0, LAST


@dataclass(frozen=True)
class Layout:
    """Of an answer; versions from `flexible` on have compact lengths and tagged fields."""

    flexible: int
    fields: list


TOPIC_NAME_OR_ID_13 = [since(TEXT, 0, 12), since(UUID, 13)]
LAYOUTS = {
    PRODUCE: Layout(9, [
        always([
            *TOPIC_NAME_OR_ID_13,
            always([
                always(INT32), always(ERROR), always(INT64), since(INT64, 2), since(INT64, 5),
                since([always(INT32), always(TEXT), always(TAGS)], 8), since(TEXT, 8), always(TAGS),
            ]),
            always(TAGS),
        ]),
        since(INT32, 1), always(TAGS),
    ]),
    FETCH: Layout(12, [
        since(INT32, 1), since(ERROR, 7), since(INT32, 7),
        always([
            *TOPIC_NAME_OR_ID_13,
            always([
                always(INT32), always(ERROR), always(INT64), since(INT64, 4), since(INT64, 5),
                since([always(INT64), always(INT64), always(TAGS)], 4), since(INT32, 11), always(BYTES), always(TAGS),
            ]),
            always(TAGS),
        ]),
        always(TAGS),
    ]),
    LIST_OFFSETS: Layout(6, [
        since(INT32, 2),
        always([
            always(TEXT),
            always([
                always(INT32), always(ERROR), since(INT64, 1), since(INT64, 1), since(INT32, 4), always(TAGS),
            ]),
            always(TAGS),
        ]),
        always(TAGS),
    ]),
    METADATA: Layout(9, [
        since(INT32, 3),
        always([always(INT32), always(TEXT), always(INT32), since(TEXT, 1), always(TAGS)]),
        since(TEXT, 2), since(INT32, 1),
        always([
            always(ERROR), always(TEXT), since(UUID, 10), since(INT8, 1),
            always([
                always(ERROR), always(INT32), always(INT32), since(INT32, 7),
                always(NUMBERS), always(NUMBERS), since(NUMBERS, 5), always(TAGS),
            ]),
            since(INT32, 8), always(TAGS),
        ]),
        since(INT32, 8, 10),
        # An error of the whole answer, left alone: librdkafka 2.12.1 dies of any in an answer to DescribeTopics, whose
        # parser then reports success without a result.
        since(INT16, 13), always(TAGS),
    ]),
    OFFSET_COMMIT: Layout(8, [
        since(INT32, 3),
        always([
            since(TEXT, 0, 9), since(UUID, 10), always([always(INT32), always(ERROR), always(TAGS)]), always(TAGS),
        ]),
        always(TAGS),
    ]),
    JOIN_GROUP: Layout(6, [since(INT32, 2), always(ERROR), always(REST)]),
    SYNC_GROUP: Layout(4, [since(INT32, 1), always(ERROR), always(REST)]),
    HEARTBEAT: Layout(4, [since(INT32, 1), always(ERROR), always(TAGS)]),
}  # fmt: skip


def error_places(api, version, answer):
    """Positions of the error codes in an answer, which begins with its correlation id."""
    layout = LAYOUTS[api]
    reader = Reader(answer, version, version >= layout.flexible)
    reader.position = INT32
    reader.read(TAGS)
    reader.read_structure(layout.fields)
    if reader.position != len(answer):
        raise ValueError(f"{NAMES[api]} v{version}: {len(answer) - reader.position} of {len(answer)} bytes are left")
    return reader.errors


class Reader:
    """Goes through one answer."""

    def __init__(self, answer, version, is_flexible):
        self.answer, self.version, self.is_flexible = answer, version, is_flexible
        self.position = 0
        self.errors = []

    def read_structure(self, fields):
        for what, first, last in fields:
            if first <= self.version <= last:
                self.read(what)

    def read(self, what):
        if isinstance(what, list):
            for _ in range(self.length(INT32)):
                self.read_structure(what)
        elif what == ERROR:
            self.errors.append(self.position)
            self.skip(INT16)
        elif what == TEXT:
            self.skip(self.length(INT16))
        elif what == BYTES:
            self.skip(self.length(INT32))
        elif what == NUMBERS:
            self.skip(self.length(INT32) * INT32)
        elif what == TAGS:
            self.read_tags()
        elif what == REST:
            self.position = len(self.answer)
        else:
            self.skip(what)

    def skip(self, size):
        self.position += size

    def read_tags(self):
        if self.is_flexible:
            for _ in range(self.unsigned_varint()):
                self.unsigned_varint()
                self.skip(self.unsigned_varint())

    def length(self, width):
        """Of what follows; nothing is as long as what is empty."""
        if self.is_flexible:
            return max(self.unsigned_varint() - 1, 0)
        [length] = struct.unpack_from(">h" if width == INT16 else ">i", self.answer, self.position)
        self.position += width
        return max(length, 0)

    def unsigned_varint(self):
        value = shift = 0
        while True:
            byte = self.answer[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
