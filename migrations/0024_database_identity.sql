-- Which database this is. Workers commit it with their offsets to Kafka: a second database whose workers join the same
-- consumer group finds out by it. It lives with the data: a standby and a restored backup have the same.
CREATE TABLE database_identity (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id       uuid NOT NULL DEFAULT gen_random_uuid()
);

INSERT INTO database_identity DEFAULT VALUES;

-- Every process reads it, whatever role it has, and it holds no secret. Only the owner writes.
GRANT SELECT ON database_identity TO PUBLIC;

COMMENT ON TABLE database_identity IS 'one row; a copy that goes on beside its original needs another id, see docs/operations.md';
