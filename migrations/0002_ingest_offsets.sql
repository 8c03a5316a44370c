-- How far each partition of each topic is stored. The truth: Kafka's own offsets are advisory.
CREATE TABLE ingest_offsets (
    cluster_id text NOT NULL,
    topic text NOT NULL,
    topic_id text NOT NULL,
    partition int NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    stored bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic, partition),
    CHECK (partition >= 0),
    CHECK (first_offset >= 0 AND next_offset >= first_offset),
    CHECK (stored >= 0 AND duplicates >= 0 AND dead_lettered >= 0)
) WITH (
    -- Every batch updates its rows: room on the page keeps each update there and out of the index.
    fillfactor = 20,
    -- The default threshold (a share of the table, which is tiny) is met all the time or, after a burst, late.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 100000
);

COMMENT ON COLUMN ingest_offsets.topic_id IS 'Kafka''s id of the topic: another one means it was deleted and made anew';
COMMENT ON COLUMN ingest_offsets.first_offset IS 'where ingestion of the partition began';
COMMENT ON COLUMN ingest_offsets.next_offset IS 'the first offset that is not stored';
