"""The topic's compression changes while records come in: Kafka compresses them anew before it writes them."""

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

import batches
from faults.fault import BACK, Fault
from places import TOPIC

ADMIN_WITHIN_S, WRITTEN_WITHIN_S = 20, 15


def set_compression(world, codec):
    """None: as each producer compresses."""
    operation = AlterConfigOpType.SET if codec else AlterConfigOpType.DELETE
    entry = ConfigEntry("compression.type", codec or "", incremental_operation=operation)
    resource = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[entry])
    [future] = world.servers.admin.incremental_alter_configs([resource]).values()
    future.result(ADMIN_WITHIN_S)


def change_compression(world, rng, measurement):
    """Each codec until a batch of it is in the log, which is read to be sure."""
    log = batches.Log()
    codecs = [*batches.CODECS]
    rng.shuffle(codecs)
    try:
        for codec in codecs:
            set_compression(world, codec)
            log.skip()
            if not log.await_codec(codec, WRITTEN_WITHIN_S):
                raise RuntimeError(f"no batch with {codec} in the log within {WRITTEN_WITHIN_S} s")
    finally:
        set_compression(world, None)
    measurement.note = ", ".join(codecs)
    measurement.back()


FAULTS = [
    Fault("compression-changed", "the topic's compression.type becomes each codec, one after the other",
          change_compression, 6, limit_s=5, counts_from=BACK),
]  # fmt: skip
