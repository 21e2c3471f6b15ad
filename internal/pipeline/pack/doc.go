// Package pack keeps the nodes of large workflows within what the API server
// stores: above a size they are compressed with gzip into
// status.compressedNodes, as Argo does, so that its clients can read them.
package pack
