// Package client speaks MLflow's REST API to any tracking server: ours, or a
// plain `mlflow server`.
//
//	Client ── experiments.go  experiments, runs, histories, logged models
//	       ├─ registry.go     registered models, versions, aliases
//	       ├─ traces.go       traces, as the JSON that the server gives
//	       └─ artifacts.go    lists, downloads that go on where they broke off
//
// Lists are iterators over all pages. What the server is too busy for (429,
// 503) is asked again after the pause that it names; what only reads is asked
// again after a broken connection as well. A refusal is an [*Error] with
// MLflow's error code.
//
// The package knows no command line and no language.
package client
