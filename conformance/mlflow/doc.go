// Package mlflow lets stock clients of MLflow work with the built
// `kiwerk tracking serve`, and kills it while they write. The suite of the
// clients is the Python files beside this one; run.py runs them against any
// server.
package mlflow
