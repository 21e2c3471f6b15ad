// Package blob stores bytes by key: artifacts, models, data sets, logs.
//
// A [Bucket] is a local folder ([Folder]) or a place in an object store
// ([ObjectBucket]: S3 and what speaks its protocol, Google Cloud Storage,
// Azure Blob Storage); [Open] makes one from an address, and
// [blobtest.Exercise] is what each must pass. Keys are relative paths with
// forward slashes, and a folder shows them as they are, so that people find
// their files without this program. [CheckKey] refuses every spelling that
// could climb out.
//
// A [Signer] lets clients into an object store for a time, for what is too
// large to pass through a server.
//
// A key has its old content or its whole new content, never a part of one,
// and a write that returned is durable. Several processes may use one bucket or
// folder. What travels to an object store has
// at most four parts of 8 MiB in memory.
package blob
