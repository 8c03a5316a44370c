-- Sensors of any size are deleted in the background, and dead letters are bounded by number and bytes.

-- A sensor whose row here exists is deleted for everybody: writers dead-letter its readings, the api does not know it.
-- A worker deletes its readings in portions; the row ends with the sensor. By a trigger, not by a foreign key: who
-- truncates sensors would have to name this table, too.
CREATE TABLE sensor_deletions (
    sensor_id int PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now(),
    chunks int NOT NULL DEFAULT 0,
    chunks_done int NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN sensor_deletions.requested_at IS 'removed_at of the row of removed_sensors that counts the readings deleted so far';
COMMENT ON COLUMN sensor_deletions.chunks IS 'chunks of sensor_data when the worker last began; 0 before';
COMMENT ON COLUMN sensor_deletions.chunks_done IS 'of these, how many hold no reading of the sensor any more';

-- Every writer of readings asks which sensors are marked, with whatever role it has. Ids are no secret.
GRANT SELECT ON sensor_deletions TO PUBLIC;

CREATE FUNCTION sensorpipe_say_sensor_marked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sensorpipe_sensors', format('-%s:%s', NEW.sensor_id, NEW.sensor_id));
    RETURN NULL;
END
$$;
CREATE TRIGGER sensorpipe_sensor_marked AFTER INSERT ON sensor_deletions
    FOR EACH ROW EXECUTE FUNCTION sensorpipe_say_sensor_marked();

CREATE FUNCTION sensorpipe_end_sensor_deletions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM sensor_deletions;
    ELSE
        DELETE FROM sensor_deletions WHERE sensor_id = OLD.sensor_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER sensorpipe_sensor_deletion_ended AFTER DELETE ON sensors
    FOR EACH ROW EXECUTE FUNCTION sensorpipe_end_sensor_deletions();
CREATE TRIGGER sensorpipe_sensor_deletions_ended AFTER TRUNCATE ON sensors
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_end_sensor_deletions();

-- Deletes a sensor without readings: true where it is gone now, false where it has readings, null where there is none.
--
-- Plain SQL locks every chunk for this, twice: to look for readings and to check the foreign keys of the chunks. Here a
-- portion of chunks is looked at in a subtransaction that is rolled back, which gives their locks back; the lock on the
-- sensor's row keeps new readings away meanwhile. With many chunks the foreign keys are then not checked once more, where
-- nobody else's keys or triggers would be skipped with them.
--
-- Of the callers' own rights it takes DELETE on sensors, or, for a sensor that is marked, DELETE on sensor_data.
CREATE FUNCTION sensorpipe_delete_sensor(wanted int) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
    -- Two or three locks each: a few hundred of the thousands that Postgres' defaults give.
    portion CONSTANT int := 200;
    caller CONSTANT name := CASE current_setting('role') WHEN 'none' THEN session_user::text
                                                         ELSE current_setting('role') END;
    chunks oid[];
    chunk oid;
    has_readings boolean := false;
    checks_keys boolean;
    former_role text;
BEGIN
    IF NOT (has_table_privilege(caller, 'sensors', 'DELETE')
            OR has_table_privilege(caller, 'sensor_data', 'DELETE')
               AND EXISTS (SELECT FROM sensor_deletions WHERE sensor_id = wanted)) THEN
        RAISE EXCEPTION 'permission denied to delete sensor %', wanted USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM sensors WHERE sensor_id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        DELETE FROM sensor_deletions WHERE sensor_id = wanted;
        RETURN NULL;
    END IF;

    SELECT coalesce(array_agg(inhrelid ORDER BY inhrelid DESC), '{}') INTO chunks
    FROM pg_inherits WHERE inhparent = 'sensor_data'::regclass;
    FOR start IN 1..cardinality(chunks) BY portion LOOP
        BEGIN
            FOREACH chunk IN ARRAY chunks[start:start + portion - 1] LOOP
                EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE sensor_id = $1)', chunk::regclass)
                INTO has_readings USING wanted;
                EXIT WHEN has_readings;
            END LOOP;
            RAISE EXCEPTION USING ERRCODE = 'SP016';
        EXCEPTION WHEN SQLSTATE 'SP016' THEN
            IF has_readings THEN
                RETURN false;
            END IF;
        END;
    END LOOP;

    checks_keys := cardinality(chunks) <= portion
        OR NOT has_parameter_privilege('session_replication_role', 'SET')
        OR EXISTS (SELECT FROM ONLY sensor_data WHERE sensor_id = wanted)
        OR EXISTS (SELECT FROM pg_trigger
                   WHERE tgrelid = 'sensors'::regclass AND NOT tgisinternal AND tgname NOT LIKE 'sensorpipe\_%')
        OR EXISTS (SELECT FROM pg_constraint
                   WHERE contype = 'f' AND confrelid = 'sensors'::regclass AND conrelid <> ALL (chunks)
                     AND conrelid NOT IN ('sensor_data'::regclass, 'daily_stats'::regclass));
    IF checks_keys THEN
        DELETE FROM sensors WHERE sensor_id = wanted;
        RETURN true;
    END IF;
    former_role := current_setting('session_replication_role');
    PERFORM set_config('session_replication_role', 'replica', true);
    DELETE FROM sensor_deletions WHERE sensor_id = wanted;
    DELETE FROM daily_stats WHERE sensor_id = wanted;
    DELETE FROM sensors WHERE sensor_id = wanted;
    PERFORM pg_notify('sensorpipe_sensors', format('-%s:%s', wanted, wanted));
    PERFORM set_config('session_replication_role', former_role, true);
    RETURN true;
END
$$;

-- How much of dead_letters there is, known without counting: a row for each partition and direction, kept by triggers,
-- whoever writes or deletes letters. Writers and those who delete have rows of their own, so that neither waits for the
-- other; writers of different partitions do not wait for each other either.
CREATE TABLE dead_letter_usage (
    topic text NOT NULL,
    partition int NOT NULL,
    direction text NOT NULL CHECK (direction IN ('written', 'deleted')),
    letters bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (topic, partition, direction)
) WITH (
    -- As ingest_offsets: few rows, updated all the time.
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
GRANT SELECT ON dead_letter_usage TO PUBLIC;

COMMENT ON COLUMN dead_letter_usage.bytes IS 'of keys, payloads and headers, and 500 for each row and its index entries';

-- The same for a letter when it comes and when it goes, however Postgres compresses it in between.
CREATE FUNCTION sensorpipe_dead_letter_bytes(key bytea, payload bytea, headers jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT 500 + coalesce(octet_length(key), 0) + coalesce(octet_length(payload), 0)
               + coalesce(octet_length(headers::text), 0)::bigint
$$;

CREATE FUNCTION sensorpipe_count_dead_letters() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM dead_letter_usage;
    ELSE
        INSERT INTO dead_letter_usage AS usage (topic, partition, direction, letters, bytes)
        SELECT topic, partition, CASE TG_OP WHEN 'INSERT' THEN 'written' ELSE 'deleted' END, count(*),
               sum(sensorpipe_dead_letter_bytes(key, payload, headers))
        FROM changed GROUP BY topic, partition ORDER BY topic, partition
        ON CONFLICT (topic, partition, direction)
            DO UPDATE SET letters = usage.letters + excluded.letters, bytes = usage.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER sensorpipe_dead_letters_written AFTER INSERT ON dead_letters
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_count_dead_letters();
CREATE TRIGGER sensorpipe_dead_letters_deleted AFTER DELETE ON dead_letters
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_count_dead_letters();
CREATE TRIGGER sensorpipe_dead_letters_truncated AFTER TRUNCATE ON dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_count_dead_letters();

-- Also for a batch whose foreign keys are checked at once, which silences other triggers.
ALTER TABLE dead_letters
    ENABLE ALWAYS TRIGGER sensorpipe_dead_letters_written,
    ENABLE ALWAYS TRIGGER sensorpipe_dead_letters_deleted,
    ENABLE ALWAYS TRIGGER sensorpipe_dead_letters_truncated;

-- The triggers' lock keeps writers away until this is committed, so no letter is missed.
INSERT INTO dead_letter_usage (topic, partition, direction, letters, bytes)
SELECT topic, partition, 'written', count(*), sum(sensorpipe_dead_letter_bytes(key, payload, headers))
FROM dead_letters GROUP BY topic, partition;

-- Readings that were dead-lettered while dead_letters was at its bound: counted, not kept. Kafka's log still has them
-- between these offsets, for as long as it keeps them.
CREATE TABLE dead_letter_overflow (
    topic text NOT NULL,
    topic_id text NOT NULL,
    partition int NOT NULL,
    reason text NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    letters bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    until timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, topic_id, partition, reason, first_offset),
    CHECK (last_offset >= first_offset AND letters > 0)
);
GRANT SELECT ON dead_letter_overflow TO PUBLIC;

-- The same over all reasons, since ever: with the letters that are there and those that were removed they come to all that
-- were ever dead-lettered.
CREATE TABLE dead_letter_overflow_totals (
    topic text NOT NULL,
    topic_id text NOT NULL,
    partition int NOT NULL,
    letters bigint NOT NULL,
    PRIMARY KEY (topic, topic_id, partition)
);

-- An offset that goes back has its records read again, and what is refused then is kept or counted again.
CREATE FUNCTION sensorpipe_overflow_is_read_again() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM dead_letter_overflow AS overflow
    WHERE overflow.topic = NEW.topic AND overflow.topic_id = NEW.topic_id AND overflow.partition = NEW.partition
      AND overflow.first_offset >= NEW.next_offset;
    RETURN NULL;
END
$$;
CREATE TRIGGER sensorpipe_overflow_is_read_again AFTER UPDATE OF next_offset ON ingest_offsets
    FOR EACH ROW WHEN (NEW.next_offset < OLD.next_offset)
    EXECUTE FUNCTION sensorpipe_overflow_is_read_again();
