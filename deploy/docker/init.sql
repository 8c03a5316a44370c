-- Run once by the image's superuser, when the cluster is made. sensorpipe itself is no superuser.
CREATE ROLE sensorpipe LOGIN;

-- Lets a worker check foreign keys once for a batch instead of once for a row.
GRANT SET ON PARAMETER session_replication_role TO sensorpipe;

CREATE DATABASE sensorpipe OWNER sensorpipe;
