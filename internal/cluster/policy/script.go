package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

const (
	// Table is the name of our table of family ip.
	Table = "kiwerk-policy"
	// maxChain leaves room below the kernel's limit for names.
	maxChain  = 120
	hashBytes = 8
)

// Empty tells whether no pod is isolated.
func (r Ruleset) Empty() bool { return len(r.Ingress) == 0 && len(r.Egress) == 0 }

// Script replaces the table by the ruleset in one transaction. dns is the
// address of the name server, which is the node's and counts as a pod.
func (r Ruleset) Script(dns netip.Addr) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	// Deleting what does not exist is an error, adding what exists is none.
	line("add table ip %s", Table)
	line("delete table ip %s", Table)
	if r.Empty() {
		return b.String()
	}
	line("table ip %s {", Table)
	r.maps(line)
	line("chain open {")
	line("ct direction reply ct state established accept")
	line("ct state related accept")
	line("ip saddr . ip daddr @self accept") // its own Service may lead a pod to itself
	line("}")
	// Accepting ends the chain of one hook only, so both halves are asked.
	base := func(name, hook, priority, match string) {
		line("chain %s {", name)
		line("type filter hook %s priority %s; policy accept;", hook, priority)
		line("jump open")
		line("%s", match)
		line("}")
	}
	base("egress", "forward", "filter", "ip saddr vmap @egress-pods")
	if dns.IsValid() {
		base("egress-dns", "input", "filter", fmt.Sprintf("ip daddr %s ip saddr vmap @egress-pods", dns))
	}
	base("ingress", "forward", "filter + 1", "ip daddr vmap @ingress-pods")
	for _, name := range slices.Sorted(maps.Keys(r.Policies)) {
		line("chain %s {", name)
		for _, match := range r.Policies[name] {
			line("%s", strings.TrimSpace(match+" accept"))
		}
		line("}")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sets)) {
		line("chain %s {", name)
		for _, policy := range r.Sets[name] {
			line("jump %s", policy)
		}
		line("drop")
		line("}")
	}
	line("}")
	return b.String()
}

// maps declares which pods are isolated.
func (r Ruleset) maps(line func(string, ...any)) {
	var self []string
	verdicts := func(pods map[netip.Addr]string) (elements []string) {
		for _, ip := range slices.SortedFunc(maps.Keys(pods), netip.Addr.Compare) {
			elements = append(elements, ip.String()+" : goto "+pods[ip])
			self = append(self, ip.String()+" . "+ip.String())
		}
		return elements
	}
	declare(line, "map ingress-pods", "ipv4_addr : verdict", verdicts(r.Ingress))
	declare(line, "map egress-pods", "ipv4_addr : verdict", verdicts(r.Egress))
	slices.Sort(self)
	declare(line, "set self", "ipv4_addr . ipv4_addr", slices.Compact(self))
}

func declare(line func(string, ...any), what, elementType string, elements []string) {
	line("%s {", what)
	line("type %s", elementType)
	if len(elements) > 0 {
		line("elements = %s", set(elements))
	}
	line("}")
}

// set writes an nftables set of what is not empty.
func set[T any](elements []T) string {
	texts := make([]string, len(elements))
	for i, e := range elements {
		texts[i] = fmt.Sprint(e)
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}

// chainName is unique for what, and tells as much of it as fits and may stand in a name.
func chainName(prefix, what string) string {
	sum := sha256.Sum256([]byte(what))
	name := prefix + "-" + hex.EncodeToString(sum[:hashBytes])
	if !strings.Contains(what, " ") { // one policy
		name += "-" + what
	}
	return name[:min(len(name), maxChain)]
}
