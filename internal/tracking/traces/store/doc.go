// Package store keeps traces in SQL: the tables of migrations/, the writes of
// whole traces and of spans that come one by one, assessments, searches and
// statistics. Every access is bound to a namespace.
//
//	traces ─┬─ trace_tags, trace_metadata   by name
//	        ├─ trace_spans                  content as JSON, what is searched for in columns
//	        ├─ trace_assessments            feedback, expectations, issues
//	        └─ trace_links                  runs, versions of prompts
//
// A condition of a search that SQL says exactly stays in SQL; a pattern is
// first narrowed down in SQL and then matched in Go (conditions.go), so that
// SQLite and PostgreSQL find the same, and no pattern takes longer than its
// text.
package store
