// Package blob stores bytes by key: artifacts, models, data sets, logs.
//
// A [Bucket] is a local folder ([OpenFolder]); object stores can be added
// behind the same interface, and [blobtest.Exercise] is what each must pass.
// Keys are relative paths with forward slashes, and the folder shows them
// as they are, so that people find their files without this program.
// [CheckKey] refuses every spelling that could climb out.
//
// A key has its old content or its whole new content, never a part of one,
// and a write that returned is on the disk.
package blob
