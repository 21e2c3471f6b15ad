// Command describe writes what the comments of API types say into Go code, so
// that `kubectl explain` can tell it: a method SwaggerDoc per struct, as
// Kubernetes' own types have it. It knows nothing of the types themselves.
package main
