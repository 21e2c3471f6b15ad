// Package kindtest holds the kinds that we serve to what people expect of them
// in `kubectl explain` and `kubectl get`. It is for tests of their packages only
// and needs no API server.
package kindtest
