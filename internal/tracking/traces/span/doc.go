// Package span is what a trace consists of: [Span] with its stored form, its
// way in from OpenTelemetry ([DecodeOTLP], [FromOTLP]) and out to clients, and
// what is derived from spans: token usage, cost, session, previews
// ([Summarise]).
//
//	OTLP (protobuf, JSON) ─ DecodeOTLP ─ FromOTLP ─ Span ─ Content ─ stored text
//	                                                └─ Summarise ─ fields of the trace
//
// Attributes are kept as JSON texts, as MLflow's clients have them. Names that
// other conventions use (OpenTelemetry GenAI, OpenInference, Traceloop) are
// translated to MLflow's while a span is read. The package does no I/O and
// knows no SQL.
package span
