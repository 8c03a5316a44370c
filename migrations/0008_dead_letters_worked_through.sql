-- What a dead letter has to keep so that it can be worked through. All of it may be absent: letters from before, and
-- those of a worker of the previous version, have none of it.
ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS topic_id text,
    ADD COLUMN IF NOT EXISTS record_time timestamptz,
    ADD COLUMN IF NOT EXISTS mirrored_at timestamptz;

COMMENT ON COLUMN dead_letters.topic_id IS 'Kafka''s id of the topic: another topic of the same name has other records';
COMMENT ON COLUMN dead_letters.record_time IS 'the record''s own timestamp, which is the time of a reading without one';
COMMENT ON COLUMN dead_letters.mirrored_at IS 'when DEAD_LETTER_TOPIC had it; null where it does not';

-- The next ones for DEAD_LETTER_TOPIC. Ids commit out of order, so that no id tells how far the mirror is.
CREATE INDEX dead_letters_unmirrored ON dead_letters (id) WHERE mirrored_at IS NULL;

-- Dead letters that are gone, counted in the transaction that deletes them: with those that are there they come to
-- all that were ever set aside.
CREATE TABLE IF NOT EXISTS dead_letter_removals (
    topic text NOT NULL,
    topic_id text NOT NULL,
    partition int NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('replayed', 'discarded', 'expired')),
    letters bigint NOT NULL,
    PRIMARY KEY (topic, topic_id, partition, outcome)
);
