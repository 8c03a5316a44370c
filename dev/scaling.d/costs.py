"""What one reading costs: WAL, table and index, Kafka's log, processor time."""

import os
import time
from pathlib import Path

from group import PARTITIONS, Group
from servers import Failed, load_generator, say, superuser

ROWS = int(os.environ.get("SCALING_COST_ROWS", "2000000"))
KAFKA_DATA, POSTGRES_DATA = Path(os.environ["SCALING_KAFKA_DATA"]), Path(os.environ["SCALING_POSTGRES_DATA"])
SHAPES = [("1,000 sensors", 1_000, 1), ("100,000 sensors", 100_000, 1), ("1,000 sensors, 100 per record", 1_000, 100)]
# At a rate that keeps batches small.
STEADY_RATE = 10_000
STALL_S = 60


def measure(servers):
    lines = [
        f"{ROWS:,} readings, a backlog that 2 workers drain in large batches, and {ROWS // 10:,} as they come:",
        "",
        "| | readings in a transaction | bytes of WAL | of these full pages | bytes of table | of index | bytes in Kafka | Postgres' processor time, µs "
        "| the workers', µs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for what, sensors, per_record in SHAPES:
        lines.append(f"| {what} | " + " | ".join(backlog(servers, sensors, per_record)) + " |")
        say(lines[-1])
    lines.append(f"| 1,000 sensors at {STEADY_RATE:,}/s | " + " | ".join(steady(servers)) + " |")
    say(lines[-1])
    return "\n".join(lines)


def backlog(servers, sensors, per_record):
    with Group(servers, "costs") as group:
        flags = [f"--count={ROWS}", f"--sensors={sensors}", f"--readings-per-record={per_record}"]
        load_generator(*flags, env=group.environment())

        def drain():
            group.start(2)
            drained(group)

        return figures(servers, group, ROWS, drain)


def steady(servers):
    rows = ROWS // 10
    with Group(servers, "costs") as group:
        group.start(2)
        while sum(group.assigned()) != PARTITIONS:
            time.sleep(0.1)
        flags = [f"--rate={STEADY_RATE}", f"--count={rows}", "--sensors=1000", "--verify"]
        return figures(servers, group, rows, lambda: load_generator(*flags, env=group.environment()))


def figures(servers, group, rows, act):
    """What `act`, after which so many readings are stored, costs for each of them."""
    servers.settle()
    with superuser() as session:
        wal, postgres_cpu = written(session), postgres_seconds()
        started = sum(member.cpu_seconds() for member in group.members)
        act()
        workers_cpu = sum(member.cpu_seconds() for member in group.members) - started
        batches = sum(member.metric("sensorpipe_batches_total") for member in group.members)
        # Hint bits and what a checkpoint writes come later; so does autovacuum.
        session.run("CHECKPOINT")
        wal = [after - before for after, before in zip(written(session), wal)]
        postgres_cpu = postgres_seconds() - postgres_cpu
    in_kafka = sum(file.stat().st_size for file in KAFKA_DATA.glob(f"{group.topic}-*/*.log"))
    if not in_kafka:
        raise Failed(f"there is no log of {group.topic} in {KAFKA_DATA}")
    sizes = group.session.ask(
        "SELECT table_bytes || ' ' || index_bytes FROM hypertable_detailed_size('sensor_data')"
    ).split()
    costs = [wal[0], wal[1] * 8192, *map(int, sizes), in_kafka, postgres_cpu * 1e6, workers_cpu * 1e6]
    return [f"{rows / batches:,.0f}"] + [f"{cost / rows:.2f}" if cost < rows * 10 else f"{cost / rows:.0f}" for cost in costs]


def written(session):
    """Bytes of WAL since the server began, and how many whole pages are among them."""
    return [int(word) for word in session.ask("SELECT wal_bytes || ' ' || wal_fpi FROM pg_stat_wal").split()]


def drained(group):
    seen, moved = -1, time.monotonic()
    while seen < ROWS:
        time.sleep(0.1)
        now = int(group.session.ask("SELECT coalesce(sum(stored), 0) FROM ingest_offsets"))
        if now > seen:
            seen, moved = now, time.monotonic()
        elif time.monotonic() - moved > STALL_S:
            raise Failed(f"{ROWS - seen} readings are not stored after {STALL_S} s of nothing")


def postgres_seconds():
    """Processor time of the server's processes, and of those that have ended."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() != "postgres" or not (process / "cwd").samefile(POSTGRES_DATA):
                continue
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
        # The postmaster has waited for the others.
        if (POSTGRES_DATA / "postmaster.pid").read_text().split()[0] == process.name:
            total += int(fields[13]) + int(fields[14])
    return total / os.sysconf("SC_CLK_TCK")
