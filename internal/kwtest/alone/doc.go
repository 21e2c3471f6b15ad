// Package alone starts the built `kiwerk tracking serve` for a test, kills it
// and starts it again on the same address and data.
package alone
