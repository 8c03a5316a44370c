"""What schemathesis has to be told about the api; dev/api-check loads it."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, value):
    """A JSON value on each line; a text is a body as it is."""
    if isinstance(value, (str, bytes)):
        return value if isinstance(value, bytes) else value.encode()
    items = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()
