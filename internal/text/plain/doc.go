// Package plain says errors of Go's own packages in the words of their readers:
// HTTP answers, conditions and messages of steps are for people who write
// Python and YAML. [Error] is the one place that knows how.
//
// It uses the standard library only, so that kiwerk-agent can have it.
package plain
