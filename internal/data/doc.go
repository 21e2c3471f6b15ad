// Package data keeps what models learn from and what endpoints see.
//
// A data set has immutable versions: bytes in the blob store (CSV or Parquet),
// with digest, schema and row count in SQL; ingestion checks the schema. An
// endpoint's predictions are recorded as statistics, or as samples where the
// object asks for it, and labels come back as feedback; recorded samples and
// labels can be frozen into a data-set version.
//
// The gateway hands over [Prediction] values without waiting; the monitor and
// the retraining controller read windows of them.
package data
