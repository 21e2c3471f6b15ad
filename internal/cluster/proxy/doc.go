// Package proxy is kube-proxy in nftables mode, in this process: it leads the
// addresses of Services to pods, in the network namespace of the node.
//
// The proxier is upstream's. Its server is not used: that one opens watches of
// its own that never end and links every other mode. [Proxy] feeds the proxier
// from the informers that name server and publisher use, too, and leaves out
// what upstream's server does not ask for: headless Services and those that
// name another proxy. Rules change when Services or their endpoints do; else
// once an hour.
//
// It needs the program nft. The rules stay when the daemon ends, so connections
// and new ones keep working until the next daemon takes the table over.
package proxy
