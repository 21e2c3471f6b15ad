// Package buildinfo says what this program is made of: its own version, set by
// the linker, and those of the libraries that users ask for.
package buildinfo
