// Package genai keeps what MLflow's evaluation of language models stores on a
// server: evaluation datasets, scorers, issues, label schemas, review queues
// and prompt optimisation jobs. Nothing of it is run here.
//
// These are few and small, so most of them are documents in one table
// (objects.go), looked up by id, by a key that is unique in an experiment, or
// searched by project and experiment. Filters and orders read the documents
// where they lie (documents.go), and pages continue behind their last row. What
// grows has tables of its own: the records of datasets, which are unique by
// their inputs, and the items of review queues.
package genai
