// Package digests remembers the SHA-256 of every artifact that went through
// the server, beside the version that the bucket gave it, and the secret that
// signs addresses of parts of uploads.
//
// The table is the same for every kind of bucket, because S3 takes metadata
// only before the bytes. A record is written after its bytes; it counts only
// while the bucket still names the same version, so that neither a crash in
// between nor someone who writes past the server makes it lie.
package digests
