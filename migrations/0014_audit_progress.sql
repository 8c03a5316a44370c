-- Which partitions the last audit of a topic found fault with, and where the next process goes on.
ALTER TABLE audits
    ADD COLUMN partitions int[] NOT NULL DEFAULT '{}',
    ADD COLUMN progress jsonb;

COMMENT ON COLUMN audits.partitions IS 'those with a difference, or that could not be audited';
COMMENT ON COLUMN audits.progress IS 'how far partitions without a difference are audited; for sensorpipe alone, its form may change';
COMMENT ON COLUMN audits.taken_at IS 'the snapshot that was audited: what was stored by then';
