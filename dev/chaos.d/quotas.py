"""Client quotas of a user, for which Kafka's admin clients in Python have no call: AlterClientQuotas, version 0."""

import socket
import struct

ALTER_CLIENT_QUOTAS, VERSION, CORRELATION = 49, 0, 1
ANSWER_WITHIN_S = 10


def set_quotas(port, user, quotas):
    """`quotas` are numbers by name; None takes one away."""
    operations = b"".join(
        text(name) + struct.pack(">d?", 0.0 if value is None else value, value is None) for name, value in quotas.items()
    )
    entity = array(1) + text("user") + text(user)
    request = array(1) + entity + array(len(quotas)) + operations + b"\0"
    answer = ask(port, struct.pack(">hhi", ALTER_CLIENT_QUOTAS, VERSION, CORRELATION) + text("chaos") + request)
    # Correlation id, throttle time, the array's length, the one entry's error.
    *_, error = struct.unpack_from(">iiih", answer)
    if error:
        raise RuntimeError(f"Kafka answers {error} to quotas {quotas}")


def ask(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        [size] = struct.unpack(">i", exactly(connection, 4))
        return exactly(connection, size)


def exactly(connection, size):
    taken = b""
    while len(taken) < size:
        more = connection.recv(size - len(taken))
        if not more:
            raise ConnectionError("Kafka ends the connection")
        taken += more
    return taken


def text(value):
    return struct.pack(">h", len(value.encode())) + value.encode()


def array(length):
    return struct.pack(">i", length)
