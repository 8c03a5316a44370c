-- What a log is known by: the record before each stored offset. A log that was cut and has grown past the offset has another
-- one in its place. What a worker has found the log to have against an offset is kept beside it, for whoever has the
-- partition next: the log's ends may stop telling.
ALTER TABLE ingest_offsets ADD COLUMN last_record bytea, ADD COLUMN gap text, ADD COLUMN gap_offset bigint;

COMMENT ON COLUMN ingest_offsets.last_record IS 'offset, leader epoch and hash of the last record before next_offset, and which next_offset that is; src/log/record_identity.rs has the bytes';
COMMENT ON COLUMN ingest_offsets.gap IS 'offset_past_end or log_diverged: what was found, and holds while gap_offset is next_offset';
COMMENT ON COLUMN ingest_offsets.gap_offset IS 'the next_offset at which it was found';
