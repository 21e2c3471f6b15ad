-- The order in which the assessments of a trace came: several come within a millisecond.
ALTER TABLE trace_assessments ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
