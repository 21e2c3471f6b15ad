// Package rest is MLflow's REST API over the tracking store: one endpoint per
// call, each with the permission that it needs, under both prefixes that
// clients use (/api and /ajax-api).
//
// Messages are in messages.go and answers.go; what they mean on the wire is
// mlwire's part. A route that is not served answers 404 with MLflow's
// envelope (fallback.go). The folder is not called http, because that package
// is used in every file here.
package rest
