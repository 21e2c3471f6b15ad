package ort

// Options of a session.
type Options struct {
	// Threads work on one inference together; 0 means one.
	Threads int
}
