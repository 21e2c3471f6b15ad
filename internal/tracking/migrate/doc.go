// Package migrate brings tracking from MLflow to Kiwerk and back.
//
//	database.go  MLflow's SQLite or PostgreSQL ─┐ (with traces.go, evaluation.go)
//	server.go    a running server           ────┤ (with servertraces.go, serverevaluation.go)
//	files.go     MLflow's folder mlruns ────────┼─ Source ─┬─ import.go  our database, in batches
//	source.go    our own database ──────────────┘          └─ export.go  a folder mlruns (traces: filetraces.go; what is there: conflict.go)
//
// A [Source] yields experiments, runs, points, logged models and the registry
// with ids, times and states as they are. [Import] notes in the database what
// it has brought, in the transaction that brings it, so that after any end it
// goes on and nothing is there twice. Afterwards it reads both sides again and
// compares counts and sums of what they hold ([Report]).
//
// All of them are [Traced]: they have traces, too, with spans and assessments. Webhooks
// are not brought: their secrets cannot be read.
package migrate
