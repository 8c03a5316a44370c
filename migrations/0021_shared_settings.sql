-- What every process of an installation must have alike, set once: by `sensorpipe migrate` where it is given one of these
-- settings, and by `sensorpipe settings`. A setting without a row has its default. The name begins with ours, for a database
-- that is adopted may well have a table `settings`.
CREATE TABLE sensorpipe_settings (
    name   text PRIMARY KEY,
    value  text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    set_by text NOT NULL
);

-- What `migrate` was given, in the same transaction: a process that finds the table finds that, too.
INSERT INTO sensorpipe_settings (name, value, set_by)
SELECT name, value, 'migrate'
FROM json_each_text(nullif(current_setting('sensorpipe.settings', true), '')::json) AS given (name, value);

-- Every process reads it, whatever role it has, and it holds no secret. Only the owner writes.
GRANT SELECT ON sensorpipe_settings TO PUBLIC;
