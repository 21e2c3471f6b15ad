//go:build linux

package network

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vishvananda/netlink"
)

// Who switches forwarding on while it is on already leaves no trace: container
// engines and virtual machines that were started after us need it as much as
// those before. So it is switched off only where nobody is seen who routes.

// routing is what of this host speaks of somebody who routes.
type routing struct {
	chains   string   // nft list chains
	legacy   []string // tables of iptables-legacy
	links    map[string]string
	settings string // files of sysctl.d
}

// forwardingUser names somebody else who needs forwarding, or nobody.
func forwardingUser(ctx context.Context) (string, error) {
	var seen routing
	var err error
	if seen.chains, err = NFT(ctx, "list chains"); err != nil {
		return "", err
	}
	if seen.legacy, err = legacyTables(); err != nil {
		return "", err
	}
	links, err := netlink.LinkList()
	if err != nil {
		return "", err
	}
	seen.links = map[string]string{}
	for _, l := range links {
		seen.links[l.Attrs().Name] = l.Type()
	}
	seen.settings = sysctlSettings()
	return whoForwards(seen), nil
}

// sysctlSettings are the files that the system reads when it boots.
func sysctlSettings() string {
	var all strings.Builder
	for _, pattern := range []string{"/etc/sysctl.conf", "/etc/sysctl.d/*.conf", "/run/sysctl.d/*.conf", "/usr/lib/sysctl.d/*.conf"} {
		files, _ := filepath.Glob(pattern) // the pattern is well-formed
		for _, f := range files {
			b, _ := os.ReadFile(f) // one that cannot be read asks for nothing
			all.Write(append(b, '\n'))
		}
	}
	return all.String()
}

var (
	nftTable      = regexp.MustCompile(`^table \S+ (\S+) \{`)
	routingChain  = regexp.MustCompile(`hook forward|type nat hook postrouting`)
	wantedSetting = regexp.MustCompile(`(?m)^\s*-?net[./]ipv4[./](ip_forward|conf[./]all[./]forwarding)\s*=\s*1\s*$`)
	routingLinks  = map[string]bool{"bridge": true, "wireguard": true}
)

// whoForwards is pure; what is ours does not count.
func whoForwards(seen routing) string {
	table := ""
	for line := range strings.Lines(seen.chains) {
		if m := nftTable.FindStringSubmatch(line); m != nil {
			table = m[1]
		}
		ours := table == "kiwerk" || strings.HasPrefix(table, hostTables)
		if !ours && routingChain.MatchString(line) {
			return "nft table " + table
		}
	}
	if len(seen.legacy) > 0 {
		return "iptables-legacy"
	}
	for name, kind := range seen.links {
		if routingLinks[kind] && !strings.HasPrefix(name, hostLinks) {
			return kind + " " + name
		}
	}
	if wantedSetting.MatchString(seen.settings) {
		return "sysctl.d"
	}
	return ""
}
