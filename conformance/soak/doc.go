// Package soak lets many clients write to `kiwerk tracking serve` for a while,
// kills it and restarts its database under them, and then reads back
// everything: what was acknowledged is there, once.
//
// `make test` runs a short form of it, `make soak` the long one (five minutes
// of 64 writers, 50 kills), whose figures are kept in docs/conformance/soak.txt.
package soak
