-- Stored offsets that a person moved: over a gap, to a topic made anew, back for a replay. Written in the transaction
-- that moves them. The counts are those of ingest_offsets at that moment, so that what is counted afterwards can be
-- held against the log from to_offset on.
CREATE TABLE offset_moves (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    moved_at timestamptz NOT NULL DEFAULT now(),
    cluster_id text NOT NULL,
    topic text NOT NULL,
    topic_id text NOT NULL,
    partition int NOT NULL,
    from_topic_id text NOT NULL,
    from_offset bigint NOT NULL,
    to_offset bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('gap', 'recreated', 'replay', 'start')),
    stored bigint NOT NULL,
    duplicates bigint NOT NULL,
    dead_lettered bigint NOT NULL,
    moved_by text NOT NULL,
    note text NOT NULL DEFAULT '',
    CHECK (from_offset >= 0 AND to_offset >= 0),
    CHECK (kind <> 'gap' OR to_offset > from_offset),
    CHECK (kind <> 'replay' OR to_offset < from_offset)
);

CREATE INDEX offset_moves_partition ON offset_moves (cluster_id, topic, partition, id);

COMMENT ON COLUMN offset_moves.topic_id IS 'the topic that to_offset is of';
COMMENT ON COLUMN offset_moves.from_topic_id IS 'the topic that from_offset was of; another one where kind is recreated';
COMMENT ON COLUMN offset_moves.kind IS 'gap: unread records that retention took are given up; recreated: the topic was made anew, and is read from its start; replay: back, to read again; start: the log was cut, and is read again from its start';

-- A reading that is read again and refused again has its dead letter already. The topic's id is part of what tells
-- a record: a topic made anew has other records at the same offsets. Letters from before this column have none.
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS topic_id text;
CREATE UNIQUE INDEX dead_letters_once ON dead_letters (topic_id, partition, "offset", coalesce(item, -1))
    WHERE topic_id IS NOT NULL;
