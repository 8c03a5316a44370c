"""A disk that is full: the last fault of a long run, for Postgres must not be restarted afterwards."""

import os
import subprocess
import time

from faults.fault import BACK, Fault
from places import SERVERS

# dev/services mounts its folder there, in a mount namespace of the server's own: what is mounted in it ends with it.
SMALL = "/var/lib/postgresql/small"
# Room for what the chunk grows by before the disk is full, and for all of it after that.
SPARE_BYTES, PLENTY = 256 << 10, "4g"
FULL_WITHIN_S = 30
FULL_FOR_S = 6


def fill(world, _, measurement):
    """Moves a chunk that is written to onto a tmpfs that has hardly more room than it takes, and later gives it more."""
    server = int((SERVERS / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    if os.geteuid() != 0 or os.readlink(f"/proc/{server}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
        return measurement.missed("needs root, and the right to mount")

    def inside(*command):
        subprocess.run(
            ["nsenter", f"--target={server}", "--mount", "--root", *command], check=True, capture_output=True
        )

    inside("mkdir", "-p", SMALL)
    with world.servers.superuser() as session:
        name, size = session.execute(
            "SELECT format('%I.%I', chunk_schema, chunk_name) AS name,"
            " pg_table_size(format('%I.%I', chunk_schema, chunk_name)::regclass) AS bytes"
            " FROM timescaledb_information.chunks WHERE hypertable_name = 'sensor_data' ORDER BY bytes DESC LIMIT 1"
        ).fetchone()
        # While it is being moved it grows no more.
        session.execute("SET lock_timeout = '20s'")
        inside("mount", "-t", "tmpfs", "-o", f"size={PLENTY},mode=0700", "tmpfs", SMALL)
        inside("chown", "postgres:postgres", SMALL)
        session.execute(f"CREATE TABLESPACE small LOCATION '{SMALL}'")
        session.execute(f"ALTER TABLE {name} SET TABLESPACE small")
        size = session.execute("SELECT pg_tablespace_size('small')").fetchone()[0]
        inside("mount", "-o", f"remount,size={size + SPARE_BYTES}", SMALL)
    began = time.monotonic()
    measurement.begin_here()
    is_full = await_full(inside, began + FULL_WITHIN_S)
    time.sleep(FULL_FOR_S)
    inside("mount", "-o", f"remount,size={PLENTY}", SMALL)
    measurement.back()
    if not is_full:
        measurement.missed(f"not full within {FULL_WITHIN_S} s")
    return None


def await_full(inside, deadline):
    """Until not even a page can be added."""
    while time.monotonic() < deadline:
        try:
            inside("sh", "-c", f"head -c 8192 /dev/zero > {SMALL}/probe && rm {SMALL}/probe")
        except subprocess.CalledProcessError:
            inside("rm", "-f", f"{SMALL}/probe")
            return True
        time.sleep(0.2)
    return False


FAULTS = [Fault("disk-full", "no room for a chunk that is written to, for some seconds", fill, 1, counts_from=BACK)]
