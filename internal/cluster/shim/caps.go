//go:build linux

package shim

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// capNumbers are the capabilities by their names in pod specs.
var capNumbers = map[string]uintptr{
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
	"FOWNER": unix.CAP_FOWNER, "FSETID": unix.CAP_FSETID, "KILL": unix.CAP_KILL, "SETGID": unix.CAP_SETGID,
	"SETUID": unix.CAP_SETUID, "SETPCAP": unix.CAP_SETPCAP, "LINUX_IMMUTABLE": unix.CAP_LINUX_IMMUTABLE,
	"NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "NET_BROADCAST": unix.CAP_NET_BROADCAST, "NET_ADMIN": unix.CAP_NET_ADMIN,
	"NET_RAW": unix.CAP_NET_RAW, "IPC_LOCK": unix.CAP_IPC_LOCK, "IPC_OWNER": unix.CAP_IPC_OWNER, "SYS_CHROOT": unix.CAP_SYS_CHROOT,
	"SYS_PTRACE": unix.CAP_SYS_PTRACE, "SYS_NICE": unix.CAP_SYS_NICE, "SYS_RESOURCE": unix.CAP_SYS_RESOURCE,
	"SYS_TIME": unix.CAP_SYS_TIME, "SYS_TTY_CONFIG": unix.CAP_SYS_TTY_CONFIG, "MKNOD": unix.CAP_MKNOD, "LEASE": unix.CAP_LEASE,
	"AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "SETFCAP": unix.CAP_SETFCAP, "WAKE_ALARM": unix.CAP_WAKE_ALARM,
	"PERFMON": unix.CAP_PERFMON, "BPF": unix.CAP_BPF,
}

// defaultCaps is Docker's default set without MKNOD: no device cgroup stands
// between a container of real root and a disk whose node it made itself.
var defaultCaps = []string{
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "NET_RAW", "SETGID", "SETUID",
	"SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
}

// refusedCaps would open the masked paths or the host.
var refusedCaps = map[string]string{
	"ALL":             "it contains SYS_ADMIN",
	"SYS_ADMIN":       "it could unmount what hides the platform's data",
	"DAC_READ_SEARCH": "it could open files by handle, past what hides the platform's data",
	"PERFMON":         "it could read the memory of the host's kernel, and all data in it",
	"SYS_MODULE":      "it could load code into the host's kernel",
	"SYS_RAWIO":       "it could reach the host's memory",
	"MKNOD":           "it could make a node of the host's disk",
	"SYS_BOOT":        "it could stop the host",
}

// Capabilities returns the bounding set for what a pod adds to and drops from the default.
func Capabilities(add, drop []string) ([]uintptr, error) {
	have := map[string]bool{}
	for _, c := range defaultCaps {
		have[c] = true
	}
	for _, c := range drop {
		name := capName(c)
		if name == "ALL" {
			clear(have)
			continue
		}
		delete(have, name)
	}
	for _, c := range add {
		name := capName(c)
		if why, refused := refusedCaps[name]; refused {
			return nil, fmt.Errorf("capability %s cannot be added to a pod here: %s", c, why)
		}
		if _, known := capNumbers[name]; !known {
			return nil, fmt.Errorf("capability %s is not known here", c)
		}
		have[name] = true
	}
	set := []uintptr{}
	for name, number := range capNumbers {
		if have[name] {
			set = append(set, number)
		}
	}
	return set, nil
}

// Grantable is every capability that a pod may add: what a privileged container has.
func Grantable() []uintptr {
	set := []uintptr{}
	for name, number := range capNumbers {
		if _, refused := refusedCaps[name]; !refused {
			set = append(set, number)
		}
	}
	return set
}

func capName(c string) string { return strings.TrimPrefix(strings.ToUpper(c), "CAP_") }
