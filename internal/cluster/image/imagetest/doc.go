// Package imagetest makes OCI images for tests, out of files that the test
// writes or takes from the host, and packs them as docker-save archives and
// OCI layouts. It is used by tests only.
package imagetest
