// Package jsonfields tells which fields a Go type has on the wire, as
// encoding/json sees them: for finding what a manifest says that no type knows.
package jsonfields
