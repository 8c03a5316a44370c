-- Run after deploy/postgres/roles.sql, each time. Whoever may look at Grafana may send it any SQL: it reads what
-- sensorpipe_reader does, which is neither API keys nor what dead letters hold.
GRANT sensorpipe_reader TO grafana;
-- From before version 0018 of the schema.
REVOKE pg_read_all_data FROM grafana;
