"""Sends lines of `codec<tab>key<tab>value` with kafka-python: produce.py BROKERS TOPIC <lines"""

import sys

from kafka import KafkaProducer

# Long enough for all lines of a codec to be in one batch of their partition; `flush` sends them.
LINGER_MS = 10_000
ACKNOWLEDGED_WITHIN_S = 60


def main():
    brokers, topic = sys.argv[1:]
    producers, sent = {}, []
    for line in sys.stdin:
        codec, key, value = line.rstrip("\n").split("\t", 2)
        if codec not in producers:
            producers[codec] = KafkaProducer(
                bootstrap_servers=brokers, compression_type=codec, acks="all", linger_ms=LINGER_MS, batch_size=1 << 20
            )
        sent.append(producers[codec].send(topic, key=key.encode(), value=value.encode()))
    for producer in producers.values():
        producer.flush(ACKNOWLEDGED_WITHIN_S)
    for record in sent:
        record.get(ACKNOWLEDGED_WITHIN_S)


if __name__ == "__main__":
    main()
