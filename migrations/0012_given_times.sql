-- The times that readings without a timestamp got last, beside the offset up to which they were given: whoever reads on
-- from there gives the same times as if nothing had come in between. src/reading/untimed.rs has the rule and the bytes.
ALTER TABLE ingest_offsets ADD COLUMN given_times bytea;
ALTER TABLE audit_checkpoints ADD COLUMN given_times bytea;

COMMENT ON COLUMN ingest_offsets.given_times IS 'the last times of sensors whose readings have no timestamp; null where next_offset was moved by somebody who does not know of them';
COMMENT ON COLUMN audit_checkpoints.given_times IS 'ingest_offsets.given_times at this offset';

-- Readings so far were read by other rules, for times above all: audits begin behind them.
DELETE FROM audit_checkpoints AS kept USING ingest_offsets AS books
WHERE kept.cluster_id = books.cluster_id AND kept.topic = books.topic AND kept.partition = books.partition
  AND kept."offset" = books.next_offset AND books.next_offset > books.first_offset;
INSERT INTO audit_checkpoints (cluster_id, topic, partition, "offset", topic_id, stored, duplicates, dead_lettered,
                               starts_anew)
SELECT cluster_id, topic, partition, next_offset, topic_id, stored, duplicates, dead_lettered, true
FROM ingest_offsets WHERE next_offset > first_offset;

-- As it was, and with the given times.
CREATE OR REPLACE FUNCTION sensorpipe_offset_moved_by_hand() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM audit_checkpoints AS kept
    WHERE kept.cluster_id = OLD.cluster_id AND kept.topic = OLD.topic AND kept.partition = OLD.partition
      AND (TG_OP = 'DELETE' OR kept.topic_id <> NEW.topic_id OR kept."offset" >= NEW.next_offset);
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO audit_checkpoints (cluster_id, topic, partition, "offset", topic_id, stored, duplicates,
                                       dead_lettered, given_times, starts_anew)
        VALUES (NEW.cluster_id, NEW.topic, NEW.partition, NEW.next_offset, NEW.topic_id, NEW.stored,
                NEW.duplicates, NEW.dead_lettered, NEW.given_times, true);
    END IF;
    RETURN NULL;
END
$$;

-- Who moves an offset and leaves the given times as they are is a worker of the previous version, or a person: they
-- belong to the offset before. The bytes name their offset, so a worker of this version never writes the same again.
CREATE FUNCTION sensorpipe_given_times_outdated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.given_times := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER sensorpipe_given_times_outdated BEFORE UPDATE OF next_offset, topic_id ON ingest_offsets
    FOR EACH ROW WHEN (NEW.given_times = OLD.given_times AND NEW.next_offset <> OLD.next_offset)
    EXECUTE FUNCTION sensorpipe_given_times_outdated();

-- A worker of this version goes on where one of the previous version, or a person, has left a partition: audits begin
-- there. The condition costs each other update a comparison.
CREATE FUNCTION sensorpipe_given_times_begun() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
BEGIN
    -- A worker without the rights stores readings all the same.
    IF NOT (has_table_privilege('audit_checkpoints', 'INSERT')
            AND has_table_privilege('audit_checkpoints', 'DELETE')) THEN
        RETURN NULL;
    END IF;
    DELETE FROM audit_checkpoints AS kept
    WHERE kept.cluster_id = OLD.cluster_id AND kept.topic = OLD.topic AND kept.partition = OLD.partition
      AND kept."offset" = OLD.next_offset;
    INSERT INTO audit_checkpoints (cluster_id, topic, partition, "offset", topic_id, stored, duplicates,
                                   dead_lettered, starts_anew)
    VALUES (OLD.cluster_id, OLD.topic, OLD.partition, OLD.next_offset, OLD.topic_id, OLD.stored, OLD.duplicates,
            OLD.dead_lettered, true);
    RETURN NULL;
END
$$;
CREATE TRIGGER sensorpipe_given_times_begun AFTER UPDATE OF given_times ON ingest_offsets
    FOR EACH ROW WHEN (OLD.given_times IS NULL AND NEW.given_times IS NOT NULL AND NEW.topic_id = OLD.topic_id
                       AND OLD.next_offset > OLD.first_offset AND NEW.next_offset > OLD.next_offset)
    EXECUTE FUNCTION sensorpipe_given_times_begun();

-- Where a replay puts a reading that has no timestamp.
ALTER TABLE dead_letters ADD COLUMN reading_time timestamptz;
COMMENT ON COLUMN dead_letters.reading_time IS 'the time that a reading without a timestamp was given; null in letters of earlier versions, and where the reading has a timestamp or none can be told';
