-- What the last audit of a topic came to, for who looks at the overview. One row for each topic that was ever audited,
-- and a topic made anew is another one; it is overwritten, never deleted.
CREATE TABLE audits (
    cluster_id text NOT NULL,
    topic text NOT NULL,
    topic_id text NOT NULL,
    taken_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    duration_seconds float8 NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('clean', 'differences', 'undetermined')),
    differences int NOT NULL,
    difference_kinds text[] NOT NULL,
    readings bigint NOT NULL,
    uncounted bigint NOT NULL,
    stored bigint NOT NULL,
    duplicates bigint NOT NULL,
    dead_lettered bigint NOT NULL,
    difference bigint,
    rows_counted boolean NOT NULL,
    PRIMARY KEY (cluster_id, topic, topic_id),
    CHECK ((outcome = 'clean') = (differences = 0)),
    CHECK ((outcome = 'undetermined') = (difference IS NULL))
);

COMMENT ON COLUMN audits.taken_at IS 'the snapshot that was audited; a result of an earlier one does not overwrite it';
COMMENT ON COLUMN audits.duration_seconds IS 'of the last round, where it went on from earlier ones';
COMMENT ON COLUMN audits.outcome IS 'undetermined: nothing is known to differ, and a partition could not be audited';
COMMENT ON COLUMN audits.differences IS 'a kind in a partition is one';
COMMENT ON COLUMN audits.readings IS 'in the log, up to the stored offsets';
COMMENT ON COLUMN audits.uncounted IS 'of them those before the first offset whose counts are known; the others are stored + duplicates + dead_lettered';
COMMENT ON COLUMN audits.difference IS 'readings over which the log, the counts and the tables disagree';
COMMENT ON COLUMN audits.rows_counted IS 'whether the rows of sensor_data were compared with the counts, too';
