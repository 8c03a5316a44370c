-- What can never be stored, with its reason and the record as it came.
CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    item int,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea,
    payload bytea,
    headers jsonb,
    received_at timestamptz NOT NULL DEFAULT now()
);

-- Newest first of one reason; newest first of all is the primary key's.
CREATE INDEX dead_letters_reason ON dead_letters (reason, id);

COMMENT ON COLUMN dead_letters.item IS 'place of the reading in its record, from 0; null where the record as a whole is meant';
