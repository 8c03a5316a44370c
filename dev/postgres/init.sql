-- Run as superuser in the database `postgres` once per cluster; may be run again.
SELECT 'CREATE ROLE sensorpipe LOGIN CREATEDB'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sensorpipe') \gexec

-- Lets a worker check foreign keys once for a batch instead of once for a row.
GRANT SET ON PARAMETER session_replication_role TO sensorpipe;

SELECT 'CREATE DATABASE sensorpipe OWNER sensorpipe'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'sensorpipe') \gexec
