"""A proxy before a Kafka broker that overwrites error codes in a share of the answers; a process of its own for the time
of one fault, which is over when the process ends.

    lying_broker.py LISTEN_PORT BROKER_PORT SHARE SEED API:CODE,CODE,… …

What the broker did stays done: only the answer says otherwise. At its end it prints as JSON how often each API was answered
with each code.
"""

import asyncio
import contextlib
import json
import random
import signal
import struct
import sys
from collections import Counter, deque

import wire

# Larger than any answer: fetch.max.bytes of librdkafka is 50 MiB.
BUFFER_BYTES = 1 << 20


class LyingBroker:
    """All connections of one client."""

    def __init__(self, broker_port, share, rng, codes):
        self.broker_port, self.share, self.rng, self.codes = broker_port, share, rng, codes
        self.told = {api: Counter() for api in codes}
        self.problems = []

    async def serve(self, client, to_client):
        try:
            broker, to_broker = await asyncio.open_connection("127.0.0.1", self.broker_port, limit=BUFFER_BYTES)
        except OSError:
            to_client.close()
            return
        asked = deque()
        ways = [
            asyncio.ensure_future(self.pass_on(client, to_broker, lambda request: note(request, asked))),
            asyncio.ensure_future(self.pass_on(broker, to_client, lambda answer: self.tell(answer, asked))),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for writer in (to_broker, to_client):
                writer.close()

    async def pass_on(self, source, target, through):
        """Message by message: a length of four bytes, then as many."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await source.readexactly(4)
                message = bytearray(await source.readexactly(struct.unpack(">i", head)[0]))
                try:
                    through(message)
                except (ValueError, IndexError, struct.error) as problem:
                    self.problems.append(repr(problem))
                target.write(head + message)
                await target.drain()

    def tell(self, answer, asked):
        """Overwrites some of its error codes, or none. A broker answers in the order in which it was asked."""
        api, version, correlation = asked.popleft()
        if struct.unpack_from(">i", answer)[0] != correlation:
            raise ValueError(f"an answer to another request than {wire.NAMES.get(api, api)}")
        if api not in self.codes:
            return
        places = wire.error_places(api, version, answer)
        if not places or self.rng.random() >= self.share:
            return
        for place in self.rng.sample(places, self.rng.randint(1, len(places))):
            code = self.rng.choice(self.codes[api])
            struct.pack_into(">h", answer, place, code)
            self.told[api][code] += 1


def note(request, asked):
    asked.append(struct.unpack_from(">hhi", request))


async def main():
    listen_port, broker_port, share, seed, *apis = sys.argv[1:]
    codes = {int(api): [int(code) for code in codes.split(",")] for api, codes in (one.split(":") for one in apis)}
    broker = LyingBroker(int(broker_port), float(share), random.Random(seed), codes)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await asyncio.start_server(broker.serve, "127.0.0.1", int(listen_port), limit=BUFFER_BYTES)
    # Whoever started this waits for the line.
    print("listens", flush=True)
    await ended.wait()
    told = {wire.NAMES[api]: counts for api, counts in broker.told.items() if counts}
    print(json.dumps({"told": told, "problems": broker.problems[:5]}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
