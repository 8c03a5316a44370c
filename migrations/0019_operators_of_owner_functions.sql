-- In a function that runs with its owner's rights an operator is found by its arguments first and by `search_path` second:
-- `pg_catalog` has no NOT LIKE of two names, so that one made in `public`, by whoever may, would have been preferred.
DO $migration$
DECLARE
    function CONSTANT regprocedure := 'sensorpipe_delete_sensor(int)'::regprocedure;
    former CONSTANT text := $text$tgname NOT LIKE 'sensorpipe\_%'$text$;
    definition CONSTANT text := pg_get_functiondef(function);
BEGIN
    IF position(former IN definition) = 0 THEN
        RAISE EXCEPTION 'the text of % is not the one of migration 0018', function;
    END IF;
    EXECUTE replace(definition, former, $text$NOT pg_catalog.starts_with(tgname::text, 'sensorpipe_')$text$);
END
$migration$;
