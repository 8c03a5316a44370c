-- Does for others' SQL what a worker does for its batches: see src/store/day_locks.rs. The lock comes before the
-- transaction ends, and each statement after it looks anew; a snapshot that is older than the lock would miss what was
-- kept meanwhile, so such transactions are refused.
CREATE OR REPLACE FUNCTION sensorpipe_reopen_day() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {PATH} AS $$
DECLARE
    reading record;
    touched date;
BEGIN
    IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'readings are changed in READ COMMITTED transactions where sensorpipe keeps daily statistics'
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED, or sensorpipe stats remove-trigger';
    END IF;
    FOR reading IN
        SELECT OLD.sensor_id, OLD.time WHERE TG_OP IN ('UPDATE', 'DELETE')
        UNION
        SELECT NEW.sensor_id, NEW.time WHERE TG_OP IN ('INSERT', 'UPDATE')
    LOOP
        touched := (reading.time AT TIME ZONE 'UTC')::date;
        PERFORM pg_catalog.pg_advisory_xact_lock_shared({LOCK_CLASS}, ((touched - date '2000-01-01') % {LOCK_SLOTS} + {LOCK_SLOTS}) % {LOCK_SLOTS});
        DELETE FROM {DAILY_STATS} WHERE sensor_id = reading.sensor_id AND day = touched AND NOT is_final;
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION sensorpipe_reopen_all_days() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {PATH} AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock_shared({LOCK_CLASS}, slot) FROM pg_catalog.generate_series(0, {LOCK_SLOTS} - 1) AS slot;
    DELETE FROM {DAILY_STATS} WHERE NOT is_final;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER sensorpipe_reopen_day AFTER INSERT OR UPDATE OR DELETE ON sensor_data
FOR EACH ROW EXECUTE FUNCTION sensorpipe_reopen_day();

CREATE OR REPLACE TRIGGER sensorpipe_reopen_all_days AFTER TRUNCATE ON sensor_data
FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_reopen_all_days();
