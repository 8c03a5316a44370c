-- Partitions of which no record is taken, as the worker that has them says every few seconds while it lasts: for the
-- overview and `offsets list`, which are other processes. A row that nobody has confirmed for a while is of a worker
-- that is gone.
CREATE TABLE stalled_partitions (
    cluster_id text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic, partition)
);

COMMENT ON COLUMN stalled_partitions.reason IS 'as the label `gap` of sensorpipe_stalled_partitions';
COMMENT ON COLUMN stalled_partitions.detail IS 'for people: what is wrong, what Kafka says, and what to do';
COMMENT ON COLUMN stalled_partitions.seen_at IS 'when the worker last confirmed it';
