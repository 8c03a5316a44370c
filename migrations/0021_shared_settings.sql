-- What every process of an installation must have alike, set once: by `sensorpipe migrate` where it is given one of these
-- settings, and by `sensorpipe settings`. A setting without a row has its default. The name begins with ours, for a database
-- that is adopted may well have a table `settings`.
CREATE TABLE sensorpipe_settings (
    name   text PRIMARY KEY,
    value  text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    set_by text NOT NULL
);

-- Every process reads it, whatever role it has, and it holds no secret. Only the owner writes.
GRANT SELECT ON sensorpipe_settings TO PUBLIC;
