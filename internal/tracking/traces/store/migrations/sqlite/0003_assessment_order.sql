-- The order in which the assessments of a trace came: several come within a millisecond.
ALTER TABLE trace_assessments ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
