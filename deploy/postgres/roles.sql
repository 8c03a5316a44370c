-- Roles with no more rights than each part of sensorpipe needs. For psql, by whoever administers the server, in
-- sensorpipe's own database; before the first `sensorpipe migrate`, and again after each one, for what is new:
--
--   psql -d sensorpipe -f deploy/postgres/roles.sql
--   DATABASE_URL=postgres://sensorpipe_owner@…/sensorpipe sensorpipe migrate
--   psql -d sensorpipe -f deploy/postgres/roles.sql
--
-- It may be run any number of times, while sensorpipe runs, too: all of it is one transaction.
--
--   sensorpipe_owner    migrate; settings set and reset; a worker with RETENTION; stats install-trigger. Owns everything.
--   sensorpipe_writer   worker
--   sensorpipe_api      api. It cannot write readings: those go through Kafka.
--   sensorpipe_audit    audit, alone or with --watch. It reads, and keeps what it came to.
--   sensorpipe_admin    what people do by hand, or an api that may replay dead letters: writer and api in one, and keys
--   sensorpipe_reader   Grafana, READ_DATABASE_URL, people who look. Neither keys nor their hashes, nor what dead letters
--                       hold: their key, payload, headers and detail.
--
-- No role has a password here. Set one with \password sensorpipe_writer, which sends its hash alone, or leave
-- authentication to certificates or to your cloud's identities.
--
-- Variables, each by -v name=value:
--   owner=sensorpipe       another owner, such as the one role that an older installation has
--   overwrite=1            writers may change readings, which ON_DUPLICATE=overwrite needs
--   api_deletes_readings=1 the api may delete readings, which DELETE /sensors/{id}?readings=delete needs
\set ON_ERROR_STOP on
\if :{?owner}
\else
  \set owner sensorpipe_owner
\endif
SELECT current_database() AS database, current_schema() AS schema \gset

BEGIN;
SET LOCAL client_min_messages = warning;

-- Roles belong to the server, not to the database: another one's run may be making them now.
SET LOCAL sensorpipe.owner = :'owner';
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY[current_setting('sensorpipe.owner'), 'sensorpipe_writer', 'sensorpipe_api',
                                'sensorpipe_audit', 'sensorpipe_admin', 'sensorpipe_reader']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
END
$$;

-- Who has what of whom; what is not granted below, none of them has.
GRANT sensorpipe_reader TO sensorpipe_writer, sensorpipe_api, sensorpipe_audit;
GRANT sensorpipe_writer, sensorpipe_api, sensorpipe_audit TO sensorpipe_admin;

GRANT CONNECT ON DATABASE :"database" TO :"owner", sensorpipe_reader;
GRANT CREATE ON DATABASE :"database" TO :"owner";
GRANT USAGE ON SCHEMA :"schema" TO :"owner", sensorpipe_reader;
GRANT CREATE ON SCHEMA :"schema" TO :"owner";
REVOKE CREATE ON SCHEMA :"schema" FROM PUBLIC;
-- Nothing of sensorpipe's makes temporary tables, with which functions that run as their owner might be misled.
REVOKE TEMPORARY ON DATABASE :"database" FROM PUBLIC;

-- Foreign keys are checked once for a batch instead of once for a row. Only a superuser can grant it, and workers do
-- without where nobody has.
DO $$
BEGIN
    EXECUTE format('GRANT SET ON PARAMETER session_replication_role TO sensorpipe_writer, %I',
                   current_setting('sensorpipe.owner'));
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'workers will check foreign keys row by row: only a superuser may grant session_replication_role';
END
$$;

-- Postgres lets everybody take advisory locks, by which a reader could hold up every write, and make large objects, by
-- which it could fill the disk. Here only those may whose work it is. These functions are a superuser's; where the script
-- is run by nobody of that kind, they stay as they are.
DO $$
DECLARE
    offered record;
BEGIN
    FOR offered IN
        SELECT oid::regprocedure AS function, proowner, proname ~ 'advisory' AS locks FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND proname ~ '^(pg_(try_)?advisory_.*|lo_(creat|create|from_bytea|put)|lowrite)$'
    LOOP
        IF NOT pg_has_role(offered.proowner, 'USAGE') THEN
            RAISE WARNING 'readers may take advisory locks, and stop writes: only a superuser may take that right away';
            EXIT;
        END IF;
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', offered.function);
        IF offered.locks THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO sensorpipe_writer, sensorpipe_api, %I',
                           offered.function, current_setting('sensorpipe.owner'));
        END IF;
    END LOOP;
END
$$;

-- What is granted on tables and sequences is exactly this: what an earlier version granted and this one does not, goes.
REVOKE ALL ON ALL TABLES IN SCHEMA :"schema"
    FROM sensorpipe_reader, sensorpipe_writer, sensorpipe_api, sensorpipe_audit, sensorpipe_admin;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA :"schema"
    FROM sensorpipe_reader, sensorpipe_writer, sensorpipe_api, sensorpipe_audit, sensorpipe_admin;

-- A table is named here with what each role may do, or may do with some columns; a table or a column that is not there
-- yet is left out. A lock on a row asks for UPDATE on any one column: where it is only for that, the column is the one
-- that does least harm.
DO $$
DECLARE
    entry record;
    granted_columns text;
BEGIN
    FOR entry IN
        SELECT * FROM (VALUES
            ('_sqlx_migrations', 'SELECT', NULL, 'sensorpipe_reader'),
            ('sensors', 'SELECT', NULL, 'sensorpipe_reader'),
            ('sensor_data', 'SELECT', NULL, 'sensorpipe_reader'),
            ('daily_stats', 'SELECT', NULL, 'sensorpipe_reader'),
            ('ingest_offsets', 'SELECT', NULL, 'sensorpipe_reader'),
            -- Not what they hold: over HTTP that asks for the scope `admin`.
            ('dead_letters', 'SELECT', 'id, topic, topic_id, partition, offset, item, reason, received_at,'
                             ' record_time, mirrored_at, readings, items', 'sensorpipe_reader'),
            ('dead_letter_removals', 'SELECT', NULL, 'sensorpipe_reader'),
            ('offset_moves', 'SELECT', NULL, 'sensorpipe_reader'),
            ('audit_checkpoints', 'SELECT', NULL, 'sensorpipe_reader'),
            ('removed_sensors', 'SELECT', NULL, 'sensorpipe_reader'),
            ('expired_chunks', 'SELECT', NULL, 'sensorpipe_reader'),
            ('audits', 'SELECT', NULL, 'sensorpipe_reader'),
            ('stalled_partitions', 'SELECT', NULL, 'sensorpipe_reader'),
            -- Triggers write dead_letter_usage, with their owner's rights.
            ('dead_letter_usage', 'SELECT', NULL, 'sensorpipe_reader'),
            ('dead_letter_overflow', 'SELECT', NULL, 'sensorpipe_reader'),
            ('dead_letter_overflow_totals', 'SELECT', NULL, 'sensorpipe_reader'),
            ('sensor_deletions', 'SELECT', NULL, 'sensorpipe_reader'),
            ('sensorpipe_settings', 'SELECT', NULL, 'sensorpipe_reader'),
            -- A trigger writes sensor_changes, with its owner's rights.
            ('sensor_changes', 'SELECT', NULL, 'sensorpipe_reader'),
            ('sensor_topics', 'SELECT', NULL, 'sensorpipe_reader'),
            ('database_identity', 'SELECT', NULL, 'sensorpipe_reader'),

            -- To lock; and to make sensors again that the database has lost, from their topic.
            ('sensors', 'UPDATE', 'sensor_type, description, location', 'sensorpipe_writer'),
            ('sensors', 'INSERT', NULL, 'sensorpipe_writer'),
            ('sensor_changes', 'INSERT, DELETE', NULL, 'sensorpipe_writer'),
            ('sensor_topics', 'INSERT, UPDATE', NULL, 'sensorpipe_writer'),
            -- DELETE takes away the stand-in row that makes a chunk, and readings of sensors that are marked as deleted.
            ('sensor_data', 'INSERT, DELETE', NULL, 'sensorpipe_writer'),
            ('ingest_offsets', 'INSERT, UPDATE', NULL, 'sensorpipe_writer'),
            ('stalled_partitions', 'INSERT, UPDATE, DELETE', NULL, 'sensorpipe_writer'),
            -- Letters expire, and are marked once DEAD_LETTER_TOPIC has them; when a record is read again, its letter of many
            -- readings is brought up to date, or takes the place of single ones.
            ('dead_letters', 'SELECT, INSERT, DELETE', NULL, 'sensorpipe_writer'),
            ('dead_letters', 'UPDATE', 'mirrored_at, reason, detail, readings, items, untimed_items, reading_times',
                             'sensorpipe_writer'),
            ('dead_letter_removals', 'INSERT, UPDATE', NULL, 'sensorpipe_writer'),
            ('dead_letter_overflow', 'INSERT, UPDATE', NULL, 'sensorpipe_writer'),
            ('dead_letter_overflow_totals', 'INSERT, UPDATE', NULL, 'sensorpipe_writer'),
            -- Readings of deleted sensors; sensorpipe_delete_sensor() lets it delete the row of one that is marked.
            ('sensor_deletions', 'UPDATE', 'chunks, chunks_done, updated_at', 'sensorpipe_writer'),
            ('removed_sensors', 'UPDATE', 'readings', 'sensorpipe_writer'),
            ('audit_checkpoints', 'INSERT, DELETE', NULL, 'sensorpipe_writer'),
            -- An audit in the worker's name keeps its result.
            ('audits', 'INSERT, UPDATE', NULL, 'sensorpipe_writer'),
            ('daily_stats', 'INSERT, UPDATE, DELETE', NULL, 'sensorpipe_writer'),

            ('audits', 'INSERT, UPDATE', NULL, 'sensorpipe_audit'),

            ('sensors', 'INSERT, UPDATE, DELETE', NULL, 'sensorpipe_api'),
            ('removed_sensors', 'INSERT', NULL, 'sensorpipe_api'),
            ('daily_stats', 'INSERT, UPDATE', NULL, 'sensorpipe_api'),
            ('dead_letters', 'SELECT', NULL, 'sensorpipe_api'),
            ('api_keys', 'SELECT', NULL, 'sensorpipe_api'),

            ('sensor_deletions', 'INSERT', NULL, 'sensorpipe_admin'),
            ('api_keys', 'INSERT, UPDATE', NULL, 'sensorpipe_admin'),
            ('audit_checkpoints', 'UPDATE', NULL, 'sensorpipe_admin'), -- audit --accept
            ('dead_letters', 'UPDATE', NULL, 'sensorpipe_admin'),
            ('offset_moves', 'INSERT', NULL, 'sensorpipe_admin')
        ) AS granted (relation, privilege, columns, role)
        WHERE to_regclass(relation) IS NOT NULL
    LOOP
        IF entry.columns IS NULL THEN
            EXECUTE format('GRANT %s ON %I TO %I', entry.privilege, entry.relation, entry.role);
            CONTINUE;
        END IF;
        SELECT string_agg(quote_ident(name), ', ') INTO granted_columns
        FROM unnest(string_to_array(entry.columns, ', ')) AS name
        WHERE EXISTS (SELECT FROM pg_attribute
                      WHERE attrelid = to_regclass(entry.relation) AND attname = name AND NOT attisdropped);
        IF granted_columns IS NOT NULL THEN
            EXECUTE format('GRANT %s (%s) ON %I TO %I', entry.privilege, granted_columns, entry.relation, entry.role);
        END IF;
    END LOOP;
    IF to_regclass('sensors') IS NOT NULL THEN
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO sensorpipe_api, sensorpipe_writer',
                       pg_get_serial_sequence('sensors', 'sensor_id'));
        -- `seed` makes sensors with numbers of its own, and moves the sequence past them.
        EXECUTE format('GRANT UPDATE, SELECT ON SEQUENCE %s TO sensorpipe_admin',
                       pg_get_serial_sequence('sensors', 'sensor_id'));
    END IF;
END
$$;

SELECT to_regclass('sensor_data') IS NOT NULL AS has_readings \gset
\if :has_readings
  \if :{?overwrite}
    GRANT UPDATE (value) ON sensor_data TO sensorpipe_writer;
  \endif
  \if :{?api_deletes_readings}
    GRANT DELETE ON sensor_data TO sensorpipe_api;
    SELECT to_regclass('sensor_deletions') IS NOT NULL AS has_deletions \gset
    \if :has_deletions
      GRANT INSERT ON sensor_deletions TO sensorpipe_api;
    \endif
  \endif
\endif

COMMIT;
