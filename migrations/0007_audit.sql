-- What an audit needs besides the tables that it audits: the counts as they were at earlier offsets, and what was
-- removed on purpose.

-- The counts of a partition when its stored offset was this one.
CREATE TABLE audit_checkpoints (
    cluster_id text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    topic_id text NOT NULL,
    stored bigint NOT NULL,
    duplicates bigint NOT NULL,
    dead_lettered bigint NOT NULL,
    starts_anew boolean NOT NULL DEFAULT false,
    kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic, partition, "offset")
);

COMMENT ON COLUMN audit_checkpoints.starts_anew IS 'audits look at nothing before it: an operator put the offset here, or accepted what an audit found';

INSERT INTO audit_checkpoints (cluster_id, topic, partition, "offset", topic_id, stored, duplicates, dead_lettered)
SELECT cluster_id, topic, partition, next_offset, topic_id, stored, duplicates, dead_lettered FROM ingest_offsets;

-- An offset that somebody else than a worker moves, or that goes back, or that is of another topic from now on: what
-- was counted before says nothing about the log from here on. Where a partition's row is deleted, its counts begin
-- again at 0.
CREATE FUNCTION sensorpipe_offset_moved_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM audit_checkpoints AS kept
    WHERE kept.cluster_id = OLD.cluster_id AND kept.topic = OLD.topic AND kept.partition = OLD.partition
      AND (TG_OP = 'DELETE' OR kept.topic_id <> NEW.topic_id OR kept."offset" >= NEW.next_offset);
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO audit_checkpoints (cluster_id, topic, partition, "offset", topic_id, stored, duplicates,
                                       dead_lettered, starts_anew)
        VALUES (NEW.cluster_id, NEW.topic, NEW.partition, NEW.next_offset, NEW.topic_id, NEW.stored,
                NEW.duplicates, NEW.dead_lettered, true);
    END IF;
    RETURN NULL;
END
$$;

-- The condition costs a worker's update a comparison; the function is not called.
CREATE TRIGGER sensorpipe_offset_moved_by_hand AFTER UPDATE OF next_offset, topic_id ON ingest_offsets
    FOR EACH ROW WHEN (NEW.next_offset < OLD.next_offset OR NEW.topic_id <> OLD.topic_id
                       OR NEW.next_offset > OLD.next_offset
                          AND current_setting('application_name') <> 'sensorpipe worker')
    EXECUTE FUNCTION sensorpipe_offset_moved_by_hand();
CREATE TRIGGER sensorpipe_offset_forgotten AFTER DELETE ON ingest_offsets
    FOR EACH ROW EXECUTE FUNCTION sensorpipe_offset_moved_by_hand();

-- Sensors that the service deleted, and how many readings went with each.
CREATE TABLE removed_sensors (
    sensor_id int NOT NULL,
    readings bigint NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, removed_at)
);

-- Chunks that retention dropped. By then everything before `until` was gone.
CREATE TABLE expired_chunks (
    until timestamptz PRIMARY KEY,
    since timestamptz NOT NULL,
    readings bigint NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now()
);

-- Dead letters that are gone, counted in the transaction that deletes them: with those that are there they come to
-- all that were ever set aside.
CREATE TABLE IF NOT EXISTS dead_letter_removals (
    topic text NOT NULL,
    topic_id text NOT NULL,
    partition int NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('replayed', 'discarded', 'expired')),
    letters bigint NOT NULL,
    PRIMARY KEY (topic, topic_id, partition, outcome)
);

-- A topic that was deleted and made anew has other records at the same offsets.
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS topic_id text;
