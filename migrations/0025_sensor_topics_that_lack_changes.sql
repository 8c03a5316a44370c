-- Changes of sensors are told to one topic, and then forgotten. A topic of another group that is used again later was not
-- told of them: then the table knows better.
ALTER TABLE sensor_topics ADD COLUMN lacks_changes boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN sensor_topics.lacks_changes IS 'another topic was told of changes that this one has not heard of';
