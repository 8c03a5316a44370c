"""What was measured on."""

import os
import platform
import subprocess

from servers import say


def describe_machine(servers):
    with servers.database("about") as database, database.session() as session:
        postgres = session.ask("SHOW server_version").split()[0]
        timescaledb = session.ask("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return {
        "processor": first_value("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(first_value("/proc/meminfo", "MemTotal").split()[0]) / 1024**2),
        "kernel": platform.release(),
        "postgres": postgres,
        "timescaledb": timescaledb,
        "kafka": os.environ.get("BENCH_KAFKA", "of unknown version"),
        "commit": output("git", "describe", "--always", "--dirty"),
        "rustc": output("rustc", "--version"),
    }


def warn_if_busy():
    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"WARNING: the machine is busy (load average {load:.1f}); the figures will be off")


def first_value(file, name):
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return "unknown"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
