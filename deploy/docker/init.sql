-- Run once by the image's superuser, when the cluster is made. sensorpipe itself is no superuser.
CREATE ROLE sensorpipe LOGIN;

-- Lets a worker check foreign keys once for a batch instead of once for a row.
GRANT SET ON PARAMETER session_replication_role TO sensorpipe;

CREATE DATABASE sensorpipe OWNER sensorpipe;

-- Grafana's: reads and nothing else, and no query of its own for long. What it may read, grafana.sql says.
CREATE ROLE grafana LOGIN;
GRANT pg_monitor TO grafana;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
