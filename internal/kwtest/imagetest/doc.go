// Package imagetest makes OCI images out of files that a test writes or takes
// from this machine, and packs them as docker-save archives and OCI layouts.
//
// [Layer], [New] and [Save] return errors, for programs; what takes a
// [testing.TB] fails its test.
package imagetest
