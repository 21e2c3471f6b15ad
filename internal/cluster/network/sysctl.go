//go:build linux

package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// setSysctl sets a switch of the calling thread's network namespace.
func setSysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s to %q: %w", name, value, err)
	}
	return nil
}

// setIfThere is setSysctl where a kernel without the feature is as good.
func setIfThere(name, value string) error {
	if err := setSysctl(name, value); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// CheckSysctls refuses what does not belong to a pod's own network.
func CheckSysctls(wanted map[string]string) error {
	var foreign []string
	for name := range wanted {
		parts := strings.Split(strings.ReplaceAll(name, "/", "."), ".")
		if parts[0] != "net" || slices.Contains(parts, "") {
			foreign = append(foreign, name)
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	slices.Sort(foreign)
	return fmt.Errorf("sysctls %s cannot be set for a pod here: only those of its network (net.*) are its own", strings.Join(foreign, ", "))
}

// podSysctls are set in each pod before those that it asks for.
func podSysctls() [][2]string {
	return [][2]string{
		// A process without privileges may listen on port 80, as with other container runtimes.
		{"net.ipv4.ip_unprivileged_port_start", "0"},
		// Addresses are given, not found by announcements.
		{"net.ipv6.conf." + podInterface + ".disable_ipv6", "1"},
	}
}
