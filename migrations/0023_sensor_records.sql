-- Sensors are kept in a topic beside the readings' one, where a failover of the database cannot lose them.

-- Sensors that were made, changed or deleted, by whomever, since the topic was told of them. A worker tells it, and takes
-- the row away in the end: a sensor that the table lacks and of which there is no row here was lost, not deleted.
CREATE TABLE sensor_changes (
    change bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sensor_id int NOT NULL,
    is_new boolean NOT NULL DEFAULT false
);
CREATE INDEX sensor_changes_by_sensor ON sensor_changes (sensor_id);

COMMENT ON COLUMN sensor_changes.is_new IS 'the sensor was made by this change';

-- How far the table of sensors is known to hold what the topic says. It goes back with the table where the database does:
-- what follows is then looked at again.
CREATE TABLE sensor_topics (
    topic text PRIMARY KEY,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The topic knows none of them yet.
INSERT INTO sensor_changes (sensor_id) SELECT sensor_id FROM sensors ORDER BY sensor_id;

DO $migration$
DECLARE
    path CONSTANT text := (SELECT concat_ws(', ', 'pg_catalog', string_agg(quote_ident(name), ', '), 'pg_temp')
                           FROM unnest(current_schemas(false)) AS name WHERE name <> 'pg_catalog');
    completed text := $text$
CREATE FUNCTION {schema}.sensorpipe_note_sensors_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {path} AS $$
BEGIN
    -- What the topic itself says is made again.
    IF current_setting('sensorpipe.restoring', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO {sensor_changes} (sensor_id) SELECT sensor_id FROM {sensors};
        RETURN NULL;
    END IF;
    INSERT INTO {sensor_changes} (sensor_id, is_new) SELECT sensor_id, TG_OP = 'INSERT' FROM changed;
    IF TG_OP = 'UPDATE' THEN
        -- A number may have changed, too.
        INSERT INTO {sensor_changes} (sensor_id)
        SELECT sensor_id FROM former WHERE sensor_id <> ALL (ARRAY (SELECT changed.sensor_id FROM changed));
    END IF;
    RETURN NULL;
END
$$
$text$;
    named record;
BEGIN
    FOR named IN
        SELECT relname, format('%I.%I', nspname, relname) AS full_name
        FROM unnest(ARRAY['sensors', 'sensor_changes']) AS ours (name)
        JOIN pg_class ON pg_class.oid = name::regclass
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
    LOOP
        completed := replace(completed, '{' || named.relname || '}', named.full_name);
    END LOOP;
    EXECUTE replace(replace(completed, '{schema}', quote_ident(current_schema())), '{path}', path);
END
$migration$;

CREATE TRIGGER sensorpipe_sensors_to_record_made AFTER INSERT ON sensors
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_note_sensors_changed();
CREATE TRIGGER sensorpipe_sensors_to_record_changed AFTER UPDATE ON sensors
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_note_sensors_changed();
CREATE TRIGGER sensorpipe_sensors_to_record_deleted AFTER DELETE ON sensors
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_note_sensors_changed();
CREATE TRIGGER sensorpipe_sensors_to_record_truncated BEFORE TRUNCATE ON sensors
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_note_sensors_changed();

-- Also where sensorpipe_delete_sensor() keeps the ordinary ones from firing.
ALTER TABLE sensors ENABLE ALWAYS TRIGGER sensorpipe_sensors_to_record_made;
ALTER TABLE sensors ENABLE ALWAYS TRIGGER sensorpipe_sensors_to_record_changed;
ALTER TABLE sensors ENABLE ALWAYS TRIGGER sensorpipe_sensors_to_record_deleted;
ALTER TABLE sensors ENABLE ALWAYS TRIGGER sensorpipe_sensors_to_record_truncated;
