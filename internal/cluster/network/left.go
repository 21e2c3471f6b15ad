//go:build linux

package network

import (
	"context"
	"net"
	"slices"
)

// HostLeft lists what a data directory's cluster has in this host's network:
// while it runs, or when it has crashed.
func HostLeft(ctx context.Context, dataDir string) []string {
	var left []string
	name := hostName(dataDir)
	if link, err := net.InterfaceByName(hostLinks + name); err == nil {
		left = append(left, "network device "+link.Name)
	}
	// Without nft, or the right to use it, no table was made.
	if tables, err := hostTableNames(ctx); err == nil && slices.Contains(tables, name) {
		left = append(left, "nft table "+hostTables+name)
	}
	return left
}
