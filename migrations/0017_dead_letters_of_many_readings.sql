-- A record of which more readings are refused than a dead letter each is kept for has one dead letter for all of them.
-- All of it is absent in letters of one reading, and in those of a worker of the previous version.
ALTER TABLE dead_letters
    ADD COLUMN readings int NOT NULL DEFAULT 1,
    ADD COLUMN items int[],
    ADD COLUMN untimed_items int[],
    ADD COLUMN reading_times timestamptz[];

COMMENT ON COLUMN dead_letters.readings IS 'for how many readings of the record the letter stands';
COMMENT ON COLUMN dead_letters.items IS 'the places of these readings in the record, from 0: the first and the last one of each run; null where the letter stands for one reading';
COMMENT ON COLUMN dead_letters.untimed_items IS 'of these readings, the places of those that may have no timestamp';
COMMENT ON COLUMN dead_letters.reading_times IS 'the times that the readings of untimed_items were given, in their order';
COMMENT ON COLUMN dead_letter_removals.letters IS 'the readings that the letters stood for';
