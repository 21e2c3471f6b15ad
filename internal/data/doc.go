// Package data keeps what models learn from and what endpoints see.
//
// A data set has immutable versions: bytes in the blob store (CSV or Parquet),
// with digest, schema and row count in SQL; ingestion checks the schema and
// stores nothing that breaks it. The same bytes are the same version.
//
// An endpoint's predictions are recorded row by row into one stream per model
// version, and labels come back as feedback:
//
//	gateway ─ Record ─ queue ─ writer ─┬ id, version, output, time   (always)
//	                                   ├ counts per bin of a Profile (when a monitor asks)
//	                                   └ features                    (when a monitor asks for samples)
//
// [Service.Record] never waits; what does not fit into the queue is counted as
// dropped. Windows are runs of rows of a stream, so they do not depend on the
// clock. Recorded samples and labels can be frozen into a data-set version with
// a part held back ([Service.Freeze]).
//
// The package knows neither monitors nor policies: they tell it what to keep
// ([Service.SetRecording]) and read windows of it.
package data
