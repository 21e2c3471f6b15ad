// Package systemtest holds the tests that start the built program as users do:
// as root and as an ordinary user, with kill -9, strangers on the same machine
// and broken data directories. It links no Kubernetes, so it builds quickly;
// bin/kiwerk and bin/kiwerk-agent must have been built.
package systemtest
