// Package http shows the decisions of retrainings.
package http
