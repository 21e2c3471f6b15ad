// Package nettest makes pods of the network alone for tests: namespaces with
// addresses, in which servers answer and from which is asked. The tests run
// under agenttest.MainNetwork, so the node's namespace is theirs. Test-only.
package nettest
