// Package front is the listening side of the programs: [Front] answers the
// probes of operations from the first moment of a start and hands everything
// else to the routes once they exist. [CheckPeer] finds out with [Diag] whether
// a request comes from a process of the same user on the same machine.
//
// It links no Kubernetes client, because tracking on its own has none.
package front
