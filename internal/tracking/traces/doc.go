// Package traces serves MLflow's traces: what a program, mostly one that asks
// language models, did step by step, and what people and judges say about it.
//
//	span   what a trace consists of; OpenTelemetry in and out
//	store  SQL: traces, assessments, searches, statistics
//
// This package has the routes: traces of the API's versions 2 and 3,
// assessments, and /v1/traces for exporters of OpenTelemetry.
// [Service.EraseTraces] is for those who clean up.
//
// Runs and experiments belong to others; it asks for them through [Tracking].
package traces
