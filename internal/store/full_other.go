//go:build !linux && !darwin

package store

// full is not known on this system; SQLite's own code for a full disk remains.
func full(string) bool { return false }
