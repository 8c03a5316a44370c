"""What keeping daily statistics costs the write path."""

import statistics
from datetime import timedelta

from history import DAY, midnight
from servers import Failed

from .sizes import SENSORS, SIZES
from .tables import migrated
from .write_path import drain, preloaded

BACKFILL_DAYS = 14


def rollup_today(servers):
    """drain of readings of today, 1 per record, with rollups and without"""
    return on_and_off(servers, preloaded(servers, per_record=1, first=midnight().isoformat()))


def rollup_backfill(servers):
    """drain of 14 days of 1,000 sensors, 1 per record, with rollups and without"""
    first = midnight() - BACKFILL_DAYS * DAY
    step_ms = BACKFILL_DAYS * DAY // timedelta(milliseconds=1) // (SIZES.readings // SENSORS)
    topic = preloaded(servers, per_record=1, first=first.isoformat(), step=f"{step_ms}ms")
    return on_and_off(servers, topic, first)


ALL = {
    "rollup-today": rollup_today,
    "rollup-backfill": rollup_backfill,
}


def on_and_off(servers, topic, kept_since=None):
    """Off, on, on, off: what the machine becomes slower or faster by meanwhile, it does to both."""
    runs = [(rollups, drained(servers, topic, kept_since, rollups)) for rollups in ("off", "on", "on", "off")]
    on, off = ([run["readings_per_second"] for kind, run in runs if kind == rollups] for rollups in ("on", "off"))
    return {
        "readings_per_second": statistics.mean(on),
        "off_readings_per_second": statistics.mean(off),
    }


def drained(servers, topic, kept_since, rollups):
    with migrated(servers, topic, SENSORS) as database:
        if kept_since:
            with database.session() as session:
                keep_statistics(session, kept_since)
        store_setting(database, "rollups", rollups)
        figures = drain(servers, database, topic, SIZES.readings, ROLLUPS=rollups)
        if rollups == "on":
            check_forgotten(database)
        return figures


def store_setting(database, name, value):
    """For every process; a commit from before the table goes by the variable alone."""
    with database.session() as session:
        if session.ask("SELECT to_regclass('sensorpipe_settings') IS NOT NULL") == "t":
            session.run(f"INSERT INTO sensorpipe_settings (name, value, set_by) VALUES ('{name}', '{value}', 'bench')")


def check_forgotten(database):
    with database.session() as session:
        left = session.ask("SELECT count(*) FROM daily_stats")
    if left != "0":
        raise Failed(f"{left} rows of daily_stats are left, though each of their days got readings")


def keep_statistics(session, first):
    """Each day of each sensor has a row that late readings make wrong: what a backfill has to take away."""
    session.run(
        f"""INSERT INTO daily_stats (sensor_id, day, reading_count, avg_value, min_value, max_value,
                                     lower_quartile, median_value, upper_quartile)
            SELECT sensor_id, date '{first.date()}' + day, 1, 0, 0, 0, 0, 0, 0
              FROM sensors CROSS JOIN generate_series(0, {BACKFILL_DAYS - 1}) AS day"""
    )
    session.run("VACUUM ANALYZE daily_stats")
