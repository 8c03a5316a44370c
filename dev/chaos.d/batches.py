"""Which codecs the batches of the topic's log have, from the broker's own files:
https://kafka.apache.org/documentation/#recordbatch"""

import struct
import time

from places import SERVERS, TOPIC

# In the order of their numbers, as `compression.type` calls them.
CODECS = ["uncompressed", "gzip", "snappy", "lz4", "zstd"]
# Base offset, length of what follows these two, leader epoch, magic, checksum, attributes.
HEAD = struct.Struct(">qiibIh")
BEFORE_LENGTH_COUNTS = 12
CODEC_BITS, IS_CONTROL = 0x07, 0x20
LOOK_EVERY_S = 0.1


class Log:
    """Goes on where it was."""

    def __init__(self):
        self.positions = {}

    def skip(self):
        """Past what is there."""
        for _ in self.new_codecs():
            pass

    def await_codec(self, codec, within_s):
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if codec in set(self.new_codecs()):
                return True
            time.sleep(LOOK_EVERY_S)
        return False

    def new_codecs(self):
        """Of each whole batch that was not read yet and has records of a producer."""
        for file in sorted((SERVERS / "kafka" / "data").glob(f"{TOPIC}-*/*.log")):
            with file.open("rb") as segment:
                end = segment.seek(0, 2)
                position = self.positions.get(file, 0)
                while position + HEAD.size <= end:
                    segment.seek(position)
                    _, length, _, _, _, attributes = HEAD.unpack(segment.read(HEAD.size))
                    if position + BEFORE_LENGTH_COUNTS + length > end:
                        break
                    position += BEFORE_LENGTH_COUNTS + length
                    if not attributes & IS_CONTROL:
                        yield CODECS[attributes & CODEC_BITS]
                self.positions[file] = position
