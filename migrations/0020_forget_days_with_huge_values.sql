-- What earlier versions kept of days whose sums or squares overflow has means of 15 digits, which may lie above the largest value,
-- and medians that are infinite. It is computed anew when somebody asks. Days whose readings are gone stay as they are.
DELETE FROM daily_stats WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM daily_stats
    WHERE NOT is_final AND NOT (abs(min_value) < 3e144 AND abs(max_value) < 3e144)
    ORDER BY sensor_id, day FOR UPDATE));
