// Package rest holds the HTTP routes of pipelines: the artifact store of
// steps, and the routes of the Argo server that its clients use.
package rest
