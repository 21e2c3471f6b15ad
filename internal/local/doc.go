// Package local joins the embedded cluster and the platform into `kiwerk up`.
//
//	launcher (the user's terminal)      opens sockets in the host's network, prints, forwards signals
//	   │  control connection: start, phases, stop; its end means "as if crashed"
//	   ▼
//	daemon (started by the holder)      cluster ─ container runtimes ─ platform
//	   └─ node (one for each further node)    its kubelet
//
// The launcher owns the lock of the data directory and shares it with the
// daemon, so a directory is never used twice, not even while a daemon whose
// launcher was killed is still ending. [Runners] is what cmd/kiwerk gives to
// the command tree.
package local
