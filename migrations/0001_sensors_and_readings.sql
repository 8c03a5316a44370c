-- The two tables that users know: made where they are missing, adopted where they were made by hand.
-- One transaction: a database that is refused stays as it was.
CREATE EXTENSION IF NOT EXISTS timescaledb;

DO $$
DECLARE
    -- What a table may differ in is everything that is not said here: names of keys, order of columns, indexes.
    foreign_key CONSTANT text := 'FOREIGN KEY (sensor_id) REFERENCES sensors(sensor_id)';
    sensors CONSTANT regclass := to_regclass('sensors');
    readings CONSTANT regclass := to_regclass('sensor_data');
    differences text[] := '{}';
    difference text;
    orphan record;
    interval_wanted CONSTANT interval :=
        coalesce(nullif(current_setting('sensorpipe.chunk_interval', true), ''), '7 days');
BEGIN
    -- Columns, of those tables that are there.
    FOR difference IN
        WITH expected (relation, column_name, definition) AS (
            VALUES (sensors, 'sensor_id', 'integer NOT NULL, numbered by the database'),
                   (sensors, 'sensor_type', 'character varying(50) NOT NULL'),
                   (sensors, 'description', 'character varying(255)'),
                   (sensors, 'location', 'character varying(255)'),
                   (readings, 'sensor_id', 'integer NOT NULL'),
                   (readings, 'value', 'double precision NOT NULL'),
                   (readings, 'time', 'timestamp with time zone NOT NULL')
        ), found AS (
            SELECT attrelid AS relation, attname::text AS column_name,
                   format_type(atttypid, atttypmod)
                       || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
                       || CASE WHEN attgenerated <> '' THEN ', generated' ELSE '' END
                       || CASE WHEN attidentity <> '' OR pg_get_expr(adbin, adrelid) LIKE 'nextval(%'
                               THEN ', numbered by the database' ELSE '' END AS definition
            FROM pg_attribute
            LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            WHERE attrelid IN (sensors, readings) AND attnum > 0 AND NOT attisdropped
        )
        SELECT format('column %s.%s is %s, not %s', relation, column_name,
                      coalesce('"' || found.definition || '"', 'missing'),
                      coalesce('"' || expected.definition || '"', 'a column of ours'))
        FROM (SELECT * FROM expected WHERE relation IS NOT NULL) AS expected
        FULL JOIN found USING (relation, column_name)
        WHERE found.definition IS DISTINCT FROM expected.definition
        ORDER BY relation::text, column_name
    LOOP
        differences := differences || difference;
    END LOOP;

    -- Ordinary tables; one that is unlogged would lose readings in a crash.
    SELECT differences || coalesce(array_agg(format('%s is not an ordinary, logged table', oid::regclass)
                                             ORDER BY oid::regclass::text), '{}')
    INTO differences
    FROM pg_class
    WHERE oid IN (sensors, readings) AND (relkind <> 'r' OR relpersistence <> 'p');

    -- Keys: the primary key must be ours; another one would refuse, or take away, rows in ways we do not expect.
    FOR difference IN
        WITH expected (relation, definition) AS (
            VALUES (sensors, 'PRIMARY KEY (sensor_id)'), (readings, 'PRIMARY KEY (sensor_id, "time")')
        ), found AS (
            SELECT conrelid AS relation, pg_get_constraintdef(oid) AS definition
            FROM pg_constraint
            WHERE conrelid IN (sensors, readings) AND contype IN ('p', 'u', 'x', 'f')
              AND NOT (conrelid = readings AND contype = 'f' AND pg_get_constraintdef(oid) = foreign_key)
            UNION ALL
            SELECT indrelid, pg_get_indexdef(indexrelid)
            FROM pg_index
            WHERE indrelid IN (sensors, readings) AND indisunique
              AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid)
        )
        SELECT CASE WHEN found.definition IS NULL
                    THEN format('%s lacks %s', relation, expected.definition)
                    ELSE format('%s has %s, which is no key of ours', relation, found.definition) END
        FROM (SELECT * FROM expected WHERE relation IS NOT NULL) AS expected
        FULL JOIN found USING (relation, definition)
        WHERE found.definition IS NULL OR expected.definition IS NULL
        ORDER BY 1
    LOOP
        differences := differences || difference;
    END LOOP;

    -- A hypertable is partitioned by time first.
    SELECT differences || coalesce(array_agg(format('sensor_data is a hypertable on %I, not on "time"', column_name)), '{}')
    INTO differences
    FROM timescaledb_information.dimensions
    WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = readings
      AND dimension_number = 1 AND column_name <> 'time';

    IF cardinality(differences) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'SP001', MESSAGE = array_to_string(differences, '; ');
    END IF;

    IF sensors IS NULL THEN
        CREATE TABLE sensors (
            sensor_id SERIAL PRIMARY KEY,
            sensor_type VARCHAR(50) NOT NULL,
            description VARCHAR(255),
            location VARCHAR(255)
        );
    END IF;

    IF readings IS NULL THEN
        CREATE TABLE sensor_data (
            sensor_id INT REFERENCES sensors (sensor_id),
            value FLOAT NOT NULL,
            time TIMESTAMPTZ NOT NULL DEFAULT now(),
            PRIMARY KEY (sensor_id, time)
        );
    ELSIF NOT EXISTS (SELECT FROM pg_constraint
                      WHERE conrelid = readings AND contype = 'f' AND convalidated) THEN
        -- Without the key, readings of unknown sensors may be there; that is for their owner to decide.
        SELECT sensor_id, count(*) OVER () AS sensors_missing INTO orphan
        FROM (SELECT DISTINCT sensor_id FROM sensor_data) AS used
        WHERE NOT EXISTS (SELECT FROM sensors WHERE sensors.sensor_id = used.sensor_id)
        ORDER BY sensor_id LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'SP001', MESSAGE = format(
                'sensor_data has readings of %s sensors that are not in sensors, such as %s, so %s cannot be added',
                orphan.sensors_missing, orphan.sensor_id, foreign_key);
        END IF;
        ALTER TABLE sensor_data ADD FOREIGN KEY (sensor_id) REFERENCES sensors (sensor_id);
    END IF;

    IF NOT EXISTS (SELECT FROM timescaledb_information.hypertables
                   WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass) THEN
        PERFORM create_hypertable('sensor_data', by_range('time', interval_wanted),
                                  create_default_indexes => false, migrate_data => true);
    END IF;
END
$$;
