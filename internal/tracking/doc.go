// Package tracking is the experiment tracking and the model registry of the
// platform, for the unmodified clients of MLflow.
//
//	rest    the routes, their permissions and messages
//	mlwire  MLflow's JSON
//	store   SQL: runs, metrics, the registry, searches
//	traces  what programs did step by step, and what is said about it
//	genai   evaluation datasets, scorers, issues, reviews
//	mcp     the registry of MCP servers
//	webhooks  who is told of changes of the registry
//	unserved  what of MLflow's server is not there
//	graphql  what MLflow's web page asks
//	filter  the language of searches
//	query   conditions, orders, pages and their tokens in SQL
//	digests SHA-256 of artifacts
//	model   vocabulary, limits, errors
//
// [Service] joins them over a store.Store and a blob.Bucket. Beside the routes
// it answers the questions of the rest of the platform in Go: where the files
// of a model lie ([Service.ResolveModel]), what a run measured
// ([Service.GetRun]), and which model has changed ([Service.Changes]).
//
// It knows nothing of Kubernetes, serving or retraining.
package tracking
