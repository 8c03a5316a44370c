"""What the database says no to for some seconds: single rows, by triggers that raise or drop, and everything."""

import time

import psycopg
from faults.fault import BACK, Fault
from refusals import CONDITION

CODES = ["P0001", "42501", "53400", "55000", "23514", "0A000", "40001", "XX000"]
# An attempt that waits for a pause of a second, and another one.
LIMIT_S = 6
# DDL waits for writers, and they for it.
LOCKED_WITHIN = "2s"


class Changed:
    """SQL that holds for as long as it is entered."""

    def __init__(self, world, change, undo):
        self.servers, self.change, self.undo = world.servers, change, undo

    def __enter__(self):
        self.run(self.change)
        return self

    def __exit__(self, *_):
        self.run(self.undo)

    def run(self, sql):
        while True:
            try:
                with self.servers.superuser() as session:
                    session.execute(f"SET lock_timeout = '{LOCKED_WITHIN}'; SET default_transaction_read_only = off")
                    session.execute(sql)
                return
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                time.sleep(0.1)


def trigger(world, body):
    return Changed(
        world,
        f"""CREATE OR REPLACE FUNCTION chaos_refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF {CONDITION} THEN {body}; END IF; RETURN NEW; END $$;
            CREATE TRIGGER chaos_refuse BEFORE INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION chaos_refuse()""",
        "DROP TRIGGER chaos_refuse ON sensor_data",
    )


def raise_in_trigger(world, rng, measurement):
    """Rows around those that are refused go on being stored all the while."""
    code = rng.choice(CODES)
    measurement.note = code
    with trigger(world, f"RAISE EXCEPTION 'chaos refuses it' USING ERRCODE = '{code}'"):
        measurement.begin_here()
        time.sleep(rng.uniform(2, 5))


def drop_in_trigger(world, rng, measurement):
    with trigger(world, "RETURN NULL"):
        measurement.begin_here()
        time.sleep(rng.uniform(2, 5))


def take_rights(world, rng, measurement):
    """Of one thing that a batch needs; sessions notice at once."""
    right = rng.choice(["INSERT ON sensor_data", "UPDATE ON ingest_offsets", "SELECT ON sensors", "INSERT ON dead_letters"])
    measurement.note = right
    with Changed(world, f"REVOKE {right} FROM sensorpipe", f"GRANT {right} TO sensorpipe"):
        time.sleep(rng.uniform(2, 5))
    measurement.back()


def make_read_only(world, rng, measurement):
    """As hosts do with a disk that is nearly full: new sessions are read-only, and the old ones are ended."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sensorpipe%'"
    name = "ALTER DATABASE sensorpipe"
    read_only = "default_transaction_read_only"
    with Changed(world, f"{name} SET {read_only} = on", f"{name} RESET {read_only}"):
        with world.servers.superuser() as session:
            session.execute(ended)
        time.sleep(rng.uniform(2, 5))
    with world.servers.superuser() as session:
        session.execute(ended)
    measurement.back()


def time_out(world, rng, measurement):
    """The role's own limits hold for sessions that begin meanwhile, and must not hold for ours."""
    settings = ["statement_timeout", "transaction_timeout", "lock_timeout", "idle_session_timeout"]
    role = "ALTER ROLE sensorpipe IN DATABASE sensorpipe"
    change = "; ".join(f"{role} SET {setting} = '{rng.choice([5, 20, 50])}ms'" for setting in settings)
    undo = "; ".join(f"{role} RESET {setting}" for setting in settings)
    with Changed(world, change, undo):
        with world.servers.superuser() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sensorpipe%'"
            )
        measurement.begin_here()
        time.sleep(rng.uniform(2, 5))


FAULTS = [
    Fault("trigger-raises", "a trigger refuses some rows for some seconds", raise_in_trigger, 8, limit_s=LIMIT_S),
    Fault("trigger-drops", "a trigger drops some rows for some seconds", drop_in_trigger, 6, limit_s=LIMIT_S),
    Fault("rights-taken", "a right of the workers is taken away for some seconds", take_rights, 8, limit_s=LIMIT_S,
          counts_from=BACK),
    Fault("read-only", "the database is read-only for some seconds", make_read_only, 5, limit_s=LIMIT_S,
          counts_from=BACK),
    Fault("role-times-out", "the role has short timeouts for some seconds", time_out, 5, limit_s=LIMIT_S),
]  # fmt: skip
