// Package blobtest is the suite that every blob.Bucket passes.
package blobtest
