// Package procs tells which processes a process has started. It is linked into
// the agent: standard library only.
package procs
