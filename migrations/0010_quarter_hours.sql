-- What a chart shows of a day: for each quarter of an hour that has readings five numbers, which are its place in the
-- day from 0, how many readings, the smallest and the largest value, the mean. In the row that is deleted whenever
-- readings of its day change, so that nothing can be kept that is no longer true, by workers of any version.
ALTER TABLE daily_stats ADD COLUMN IF NOT EXISTS quarter_hours float8[];

-- Stored beside the row, and as it is: the row stays small for those who read the day's statistics alone, and doubles
-- do not become smaller by packing.
ALTER TABLE daily_stats ALTER COLUMN quarter_hours SET STORAGE EXTERNAL;

COMMENT ON COLUMN daily_stats.quarter_hours IS 'place, count, min, max, avg of each quarter of an hour with readings, flat; null: not kept yet';
