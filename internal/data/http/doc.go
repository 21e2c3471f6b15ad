// Package datahttp is the HTTP face of data sets and recorded predictions.
//
//	POST /kiwerk/v1/projects/{namespace}/datasets/{name}/versions?schema={…}   CSV or Parquet bytes
//	GET  /kiwerk/v1/projects/{namespace}/datasets[/{name}/versions[/{version}[/content]]]
//	GET  /kiwerk/v1/projects/{namespace}/predictions/{id}
//
// A version is a number or "latest".
package datahttp
