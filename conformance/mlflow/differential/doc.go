// Package differential compares our tracking server with `mlflow server` of
// the release whose API we claim: differential.py sends the requests of
// corpus.py to both and compares the answers; allowed.py says what may differ
// and why. The test starts both servers, which takes memory and half a minute,
// and therefore runs with `make conformance-mlflow` only. The last result is in
// docs/conformance/tracking-differential.txt; KIWERK_UPDATE=1 rewrites it.
package differential
