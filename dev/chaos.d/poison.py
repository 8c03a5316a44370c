"""Readings that can never be stored. Each carries its number, by which its dead letter is found again."""

import json
import re

MARK = re.compile(rb"poison-(\d+)-")
# More than any sensor that there is.
NO_SENSOR = 2_000_000_000

MALFORMED, NUL, EMPTY, SHAPE = "malformed_json", "nul_byte", "empty_record", "wrong_shape"
TIME, WINDOW, VALUE, SENSOR = "invalid_timestamp", "time_out_of_window", "invalid_value", "unknown_sensor"
RECORDS = [MALFORMED, NUL, EMPTY, SHAPE, TIME, WINDOW, VALUE, SENSOR]
# What one item of many can be without spoiling the others.
ITEMS = [SHAPE, TIME, WINDOW, VALUE]


def mark(number):
    return f"poison-{number}-"


def number_in(*texts):
    """The number that one of the texts carries; None where none does."""
    for text in texts:
        found = MARK.search(text) if text else None
        if found:
            return int(found[1])
    return None


def record(reason, number, sensor_id, time_s):
    """Key and value of a record that counts as one reading."""
    good = {"sensor_id": sensor_id, "value": 1.5, "timestamp": time_s, "note": mark(number)}
    value = {
        MALFORMED: b'{"sensor_id":1,"value":',
        NUL: b'{"sensor_id":1,\0"value":1}',
        EMPTY: None if number % 2 else b"",
        SHAPE: b'"neither an object nor an array"',
        TIME: {**good, "timestamp": "yesterday"},
        WINDOW: {**good, "timestamp": "1970-01-02T00:00:00Z"},
        VALUE: {**good, "value": "warm"},
        SENSOR: {**good, "sensor_id": NO_SENSOR + number},
    }[reason]
    return mark(number).encode(), json.dumps(value).encode() if isinstance(value, dict) else value


def item(reason, number, time_s):
    """JSON of an item of a list."""
    good = {"value": 1.5, "timestamp": time_s, "note": mark(number)}
    return json.dumps(
        {
            SHAPE: {"timestamp": time_s, "note": mark(number)},
            TIME: {**good, "timestamp": "31.12.2025"},
            WINDOW: {**good, "timestamp": 86_400},
            VALUE: {**good, "value": "NaN"},
        }[reason]
    )
