package artifact

import "github.com/kiwerk/kiwerk/internal/blob"

// root is the folder of all pipeline artifacts in the bucket.
const root = "pipelines"

// BlobKey is the key in the bucket of an artifact's key in a project.
func BlobKey(namespace, key string) string { return root + "/" + namespace + "/" + key }

// CheckKey refuses keys that are not clean relative paths.
func CheckKey(key string) error { return blob.CheckKey(key) }
