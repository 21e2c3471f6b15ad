// Package blobtest is the suite that every blob.Bucket must pass, and starts
// the servers of tools/objectstores that the object stores are tested against.
package blobtest
