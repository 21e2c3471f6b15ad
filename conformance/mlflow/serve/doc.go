// Command serve runs tracking alone: database, artifacts and the routes of
// internal/tracking on one port, without Kubernetes and without login. The
// conformance tests and benchmarks use it, because what they look at is the
// routes, and a program that links Kubernetes takes minutes to build.
package main
