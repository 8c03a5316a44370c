-- What became of a record: GET /receipts/{partition}/{offset} asks for its dead letters.
CREATE INDEX dead_letters_record ON dead_letters (topic, partition, "offset");
