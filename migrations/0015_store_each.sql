-- Stores readings around those that the database refuses, in one round trip: a statement for many, halves of those that
-- fail, single rows at last. It says what became of each reading that was not plainly stored.
--
-- A row that fails takes its subtransaction with it, and one that is stored ends it, so that few are open at a time
-- whatever their number. It runs with the rights of whoever calls it.
CREATE FUNCTION sensorpipe_store_each(
    sensor_ids int[],
    readings float8[],
    times timestamptz[],
    overwrite boolean
) RETURNS TABLE (place int, fate text, code text, words text)
LANGUAGE plpgsql AS $$
DECLARE
    -- As few as this are tried one by one at once.
    few CONSTANT int := 16;
    -- A stack of ranges of places, both ends included.
    firsts int[] := ARRAY[1];
    lasts int[] := ARRAY[cardinality(sensor_ids)];
    ranges int := 1;
    first_place int;
    last_place int;
    middle int;
    written bigint;
    added bigint;
    is_there boolean;
BEGIN
    WHILE ranges > 0 LOOP
        first_place := firsts[ranges];
        last_place := lasts[ranges];
        ranges := ranges - 1;
        CONTINUE WHEN first_place > last_place;
        BEGIN
            IF overwrite THEN
                WITH kept AS (
                    INSERT INTO sensor_data (sensor_id, value, time)
                    SELECT * FROM unnest(sensor_ids[first_place:last_place], readings[first_place:last_place],
                                         times[first_place:last_place])
                    ON CONFLICT (sensor_id, time) DO UPDATE SET value = excluded.value
                    RETURNING xmax = 0 AS is_new
                )
                SELECT count(*), count(*) FILTER (WHERE is_new) INTO written, added FROM kept;
            ELSE
                INSERT INTO sensor_data (sensor_id, value, time)
                SELECT * FROM unnest(sensor_ids[first_place:last_place], readings[first_place:last_place],
                                     times[first_place:last_place])
                ON CONFLICT (sensor_id, time) DO NOTHING;
                GET DIAGNOSTICS added = ROW_COUNT;
                written := added;
            END IF;
            IF first_place = last_place THEN
                IF added = 0 THEN
                    is_there := written > 0;
                    IF NOT is_there THEN
                        -- Planned for this time each time: a plan for any time would lock every chunk.
                        EXECUTE 'SELECT EXISTS (SELECT FROM sensor_data WHERE sensor_id = $1 AND time = $2)'
                            INTO is_there USING sensor_ids[first_place], times[first_place];
                    END IF;
                    place := first_place;
                    fate := CASE WHEN is_there THEN 'duplicate' ELSE 'dropped' END;
                    code := NULL;
                    words := NULL;
                    RETURN NEXT;
                END IF;
            ELSIF added <> last_place - first_place + 1 THEN
                -- Which ones is told by smaller parts.
                RAISE EXCEPTION USING ERRCODE = 'SP001';
            END IF;
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            IF first_place = last_place THEN
                place := first_place;
                fate := 'refused';
                code := SQLSTATE;
                words := left(SQLERRM, 2000);
                RETURN NEXT;
            ELSIF last_place - first_place < few THEN
                FOR at IN REVERSE last_place..first_place LOOP
                    ranges := ranges + 1;
                    firsts[ranges] := at;
                    lasts[ranges] := at;
                END LOOP;
            ELSE
                middle := (first_place + last_place) / 2;
                firsts[ranges + 1] := middle + 1;
                lasts[ranges + 1] := last_place;
                firsts[ranges + 2] := first_place;
                lasts[ranges + 2] := middle;
                ranges := ranges + 2;
            END IF;
        END;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION sensorpipe_store_each IS
    'stores readings around those that are refused; what is not in the answer was stored';
