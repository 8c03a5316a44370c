"""How much is measured, as the environment has it."""

import os
from dataclasses import dataclass

SENSORS = 1_000
MANY_SENSORS = 100_000


@dataclass
class Sizes:
    readings: int = int(os.environ.get("BENCH_READINGS", "2000000"))
    large_rows: int = int(os.environ.get("BENCH_LARGE_ROWS", "30000000"))
    latency_seconds: int = int(os.environ.get("BENCH_LATENCY_SECONDS", "30"))
    http_seconds: int = int(os.environ.get("BENCH_HTTP_SECONDS", "12"))
    stats_rows: int = int(os.environ.get("BENCH_STATS_ROWS", "30000000"))

    def __post_init__(self):
        # The same number for each sensor, in records of 100 and for 100,000 sensors.
        self.readings = max(1, round(self.readings / 100_000)) * 100_000
        self.memory_readings = self.readings * 5 // 2


SIZES = Sizes()
