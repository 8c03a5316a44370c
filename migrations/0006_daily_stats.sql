-- What one sensor's readings of one UTC day come to: computed once the day is over, and kept while it stays true.
-- A row is there only while it agrees with the committed readings; src/store/day_locks.rs says how that is held.
CREATE TABLE daily_stats (
    sensor_id int NOT NULL REFERENCES sensors (sensor_id) ON DELETE CASCADE,
    day date NOT NULL,
    reading_count bigint NOT NULL,
    avg_value float8 NOT NULL,
    min_value float8 NOT NULL,
    max_value float8 NOT NULL,
    lower_quartile float8 NOT NULL,
    median_value float8 NOT NULL,
    upper_quartile float8 NOT NULL,
    is_final boolean NOT NULL DEFAULT false,
    PRIMARY KEY (sensor_id, day),
    CHECK (reading_count > 0)
);

-- Each batch asks whether the days that it touches have rows that it must delete.
CREATE INDEX daily_stats_day ON daily_stats (day) WHERE NOT is_final;

COMMENT ON COLUMN daily_stats.is_final IS 'retention has dropped readings of this day: the row stays as it is';
