-- Functions that run with their owner's rights find nothing but what is meant, whoever calls them. Until now the schema
-- for temporary tables came first, without being named, so that a caller's temporary table stood in for one of ours, and
-- its trigger ran as the owner.
--
-- Now that schema is named, and last; tables are named with their schema and functions with theirs. An operator or
-- function of somebody else's would otherwise be preferred where its arguments fit better. The schema is not
-- always `public`, so the texts are completed here.
DO $migration$
DECLARE
    path CONSTANT text := (SELECT concat_ws(', ', 'pg_catalog', string_agg(quote_ident(name), ', '), 'pg_temp')
                           FROM unnest(current_schemas(false)) AS name WHERE name <> 'pg_catalog');
    texts CONSTANT text[] := ARRAY[
$text$
CREATE OR REPLACE FUNCTION {schema}.sensorpipe_end_sensor_deletions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {path} AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM {sensor_deletions};
    ELSE
        DELETE FROM {sensor_deletions} WHERE sensor_id = OLD.sensor_id;
    END IF;
    RETURN NULL;
END
$$
$text$,

-- As it was: see 0016.
$text$
CREATE OR REPLACE FUNCTION {schema}.sensorpipe_delete_sensor(wanted int) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {path} AS $$
DECLARE
    -- Two or three locks each: a few hundred of the thousands that Postgres' defaults give.
    portion CONSTANT int := 200;
    caller CONSTANT name := CASE pg_catalog.current_setting('role')
                                WHEN 'none' THEN session_user::text
                                ELSE pg_catalog.current_setting('role') END;
    sensors_table CONSTANT oid := '{sensors}'::regclass::oid;
    readings_table CONSTANT oid := '{sensor_data}'::regclass::oid;
    statistics_table CONSTANT oid := '{daily_stats}'::regclass::oid;
    chunks oid[];
    chunk oid;
    has_readings boolean := false;
    checks_keys boolean;
    former_role text;
BEGIN
    IF NOT (pg_catalog.has_table_privilege(caller, sensors_table, 'DELETE')
            OR pg_catalog.has_table_privilege(caller, readings_table, 'DELETE')
               AND EXISTS (SELECT FROM {sensor_deletions} WHERE sensor_id = wanted)) THEN
        RAISE EXCEPTION 'permission denied to delete sensor %', wanted USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM {sensors} WHERE sensor_id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        DELETE FROM {sensor_deletions} WHERE sensor_id = wanted;
        RETURN NULL;
    END IF;

    SELECT coalesce(pg_catalog.array_agg(inhrelid ORDER BY inhrelid DESC), '{}') INTO chunks
    FROM pg_catalog.pg_inherits WHERE inhparent = readings_table;
    FOR start IN 1..pg_catalog.cardinality(chunks) BY portion LOOP
        BEGIN
            FOREACH chunk IN ARRAY chunks[start:start + portion - 1] LOOP
                EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %s WHERE sensor_id = $1)', chunk::regclass)
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

    checks_keys := pg_catalog.cardinality(chunks) <= portion
        OR NOT pg_catalog.has_parameter_privilege('session_replication_role', 'SET')
        OR EXISTS (SELECT FROM ONLY {sensor_data} WHERE sensor_id = wanted)
        OR EXISTS (SELECT FROM pg_catalog.pg_trigger
                   WHERE tgrelid = sensors_table AND NOT tgisinternal AND tgname NOT LIKE 'sensorpipe\_%')
        OR EXISTS (SELECT FROM pg_catalog.pg_constraint
                   WHERE contype = 'f' AND confrelid = sensors_table AND conrelid <> ALL (chunks)
                     AND conrelid <> readings_table AND conrelid <> statistics_table);
    IF checks_keys THEN
        DELETE FROM {sensors} WHERE sensor_id = wanted;
        RETURN true;
    END IF;
    former_role := pg_catalog.current_setting('session_replication_role');
    PERFORM pg_catalog.set_config('session_replication_role', 'replica', true);
    DELETE FROM {sensor_deletions} WHERE sensor_id = wanted;
    DELETE FROM {daily_stats} WHERE sensor_id = wanted;
    DELETE FROM {sensors} WHERE sensor_id = wanted;
    PERFORM pg_catalog.pg_notify('sensorpipe_sensors', pg_catalog.format('-%s:%s', wanted, wanted));
    PERFORM pg_catalog.set_config('session_replication_role', former_role, true);
    RETURN true;
END
$$
$text$,

$text$
CREATE OR REPLACE FUNCTION {schema}.sensorpipe_count_dead_letters() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {path} AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM {dead_letter_usage};
    ELSE
        INSERT INTO {dead_letter_usage} AS usage (topic, partition, direction, letters, bytes)
        SELECT topic, partition, CASE TG_OP WHEN 'INSERT' THEN 'written' ELSE 'deleted' END, pg_catalog.count(*),
               pg_catalog.sum({schema}.sensorpipe_dead_letter_bytes(key, payload, headers))
        FROM changed GROUP BY topic, partition ORDER BY topic, partition
        ON CONFLICT (topic, partition, direction)
            DO UPDATE SET letters = usage.letters + excluded.letters, bytes = usage.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END
$$
$text$,

$text$
CREATE OR REPLACE FUNCTION {schema}.sensorpipe_overflow_is_read_again() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {path} AS $$
BEGIN
    DELETE FROM {dead_letter_overflow} AS overflow
    WHERE overflow.topic = NEW.topic AND overflow.topic_id = NEW.topic_id AND overflow.partition = NEW.partition
      AND overflow.first_offset >= NEW.next_offset;
    RETURN NULL;
END
$$
$text$];
    completed text;
    named record;
    former regprocedure;
BEGIN
    FOREACH completed IN ARRAY texts LOOP
        FOR named IN
            SELECT relname, format('%I.%I', nspname, relname) AS full_name
            FROM unnest(ARRAY['sensors', 'sensor_data', 'daily_stats', 'sensor_deletions', 'dead_letter_usage',
                              'dead_letter_overflow']) AS ours (name)
            JOIN pg_class ON pg_class.oid = name::regclass
            JOIN pg_namespace ON pg_namespace.oid = relnamespace
        LOOP
            completed := replace(completed, '{' || named.relname || '}', named.full_name);
        END LOOP;
        EXECUTE replace(replace(completed, '{schema}', quote_ident(current_schema())), '{path}', path);
    END LOOP;
    -- `stats install-trigger` writes the new texts of these two; where it has run before, the old ones are safe, too.
    FOR former IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE prosecdef AND proname IN ('sensorpipe_reopen_day', 'sensorpipe_reopen_all_days')
          AND pronamespace = ANY (current_schemas(false)::regnamespace[])
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %s', former, path);
    END LOOP;
END
$migration$;
