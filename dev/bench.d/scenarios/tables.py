"""Databases as users make them, and as `migrate` does."""

import contextlib

from servers import environment, sensorpipe

USERS_TABLES = """
    CREATE TABLE sensors (sensor_id SERIAL PRIMARY KEY, sensor_type VARCHAR(50) NOT NULL,
                          description VARCHAR(255), location VARCHAR(255));
    CREATE TABLE sensor_data (sensor_id INT REFERENCES sensors (sensor_id), value FLOAT NOT NULL,
                              time TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (sensor_id, time))"""


@contextlib.contextmanager
def users_tables(servers, sensors, options=""):
    """The schema by hand; `options` are create_hypertable's."""
    with servers.database("users") as database:
        with database.session() as session:
            session.run(USERS_TABLES)
            session.run(f"SELECT create_hypertable('sensor_data', 'time'{options})")
            add_sensors(session, sensors)
        yield database


@contextlib.contextmanager
def migrated(servers, topic, sensors):
    """The schema by `migrate`, which makes the topic as well."""
    with servers.database("migrated") as database:
        sensorpipe("migrate", env=environment(database, topic))
        with database.session() as session:
            add_sensors(session, sensors)
        yield database


def add_sensors(session, count):
    session.run(f"INSERT INTO sensors (sensor_type) SELECT 'load' FROM generate_series(1, {count})")


def make_chunk(session, time):
    """As the worker does it: a row that no reading can be, inserted and deleted again."""
    session.run(
        f"""BEGIN;
            SET LOCAL session_replication_role = replica;
            INSERT INTO sensor_data (sensor_id, value, time) VALUES (-1, 0, '{time}');
            DELETE FROM sensor_data WHERE sensor_id = -1;
            COMMIT"""
    )
