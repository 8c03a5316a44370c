-- Lists of sensors by type or place, page by page.
CREATE INDEX sensors_by_type ON sensors (sensor_type, sensor_id);
CREATE INDEX sensors_by_location ON sensors (location, sensor_id);

-- Says on the channel `sensorpipe_sensors` which sensors a statement made or deleted, whoever ran it:
-- '+7:9,12:12' made, '-7:7' deleted, 'reload' where the ids do not fit into a message.
CREATE FUNCTION sensorpipe_say_sensors_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ranges text;
    message text := 'reload';
BEGIN
    IF TG_OP IN ('INSERT', 'DELETE') THEN
        -- Ids that follow each other have the same distance to their rank.
        SELECT string_agg(first_id || ':' || last_id, ',') INTO ranges
        FROM (SELECT min(sensor_id) AS first_id, max(sensor_id) AS last_id
              FROM (SELECT sensor_id, sensor_id - row_number() OVER (ORDER BY sensor_id) AS distance
                    FROM changed) AS ranked
              GROUP BY distance) AS islands;
        IF ranges IS NULL THEN
            RETURN NULL;
        END IF;
        -- A message has room for 8000 bytes.
        IF length(ranges) < 7000 THEN
            message := CASE TG_OP WHEN 'INSERT' THEN '+' ELSE '-' END || ranges;
        END IF;
    END IF;
    PERFORM pg_notify('sensorpipe_sensors', message);
    RETURN NULL;
END
$$;

CREATE TRIGGER sensorpipe_sensors_made AFTER INSERT ON sensors
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_say_sensors_changed();
CREATE TRIGGER sensorpipe_sensors_deleted AFTER DELETE ON sensors
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_say_sensors_changed();
CREATE TRIGGER sensorpipe_sensors_truncated AFTER TRUNCATE ON sensors
    FOR EACH STATEMENT EXECUTE FUNCTION sensorpipe_say_sensors_changed();
-- Postgres sends equal messages of a transaction once, however many rows.
CREATE TRIGGER sensorpipe_sensors_renumbered AFTER UPDATE OF sensor_id ON sensors
    FOR EACH ROW WHEN (OLD.sensor_id <> NEW.sensor_id) EXECUTE FUNCTION sensorpipe_say_sensors_changed();

-- Who may ask the api for what. A revoked key stays: where there was ever a key, keys are demanded.
CREATE TABLE api_keys (
    key_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9._-]{1,64}$'),
    token_id text NOT NULL UNIQUE CHECK (token_id ~ '^[0-9a-f]{12}$'),
    token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['ingest', 'read', 'admin']),
    requests_per_second int CHECK (requests_per_second > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Among those that hold.
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL;

COMMENT ON COLUMN api_keys.token_id IS 'the part of the token that is no secret: sp_<token_id>_<secret>';
COMMENT ON COLUMN api_keys.token_hash IS 'SHA-256 of the whole token, which is kept nowhere';
