//go:build linux

package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// refused are calls that no container needs, or only one with another set of rights.
var refused = []string{
	// The machine as a whole.
	"acct", "kexec_file_load", "kexec_load", "quotactl", "quotactl_fd", "reboot", "swapoff", "swapon", "syslog", "vhangup",
	"sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "adjtimex", "iopl", "ioperm", "sysfs", "ustat", "_sysctl",
	"nfsservctl", "lookup_dcookie", "uselib", "vm86", "vm86old",
	// Code in the kernel.
	"bpf", "create_module", "delete_module", "finit_module", "init_module", "get_kernel_syms", "query_module",
	// Mounts and namespaces. clone and clone3 see below.
	"mount", "mount_setattr", "move_mount", "fsconfig", "fsmount", "fsopen", "fspick", "open_tree", "open_tree_attr", "pivot_root", "umount", "umount2", "setns", "unshare",
	// Past what hides files.
	"name_to_handle_at", "open_by_handle_at", "fanotify_init",
	// Keys of the kernel, which know no containers.
	"add_key", "keyctl", "request_key",
	// Other processes, and tools of attacks on the kernel.
	"pidfd_getfd", "perf_event_open", "userfaultfd", "io_uring_enter", "io_uring_register", "io_uring_setup",
	"get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
}

// allowedBy are the calls that a capability in the bounding set of a container stands for.
var allowedBy = map[uintptr][]string{
	unix.CAP_SYS_TIME:       {"settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "adjtimex"},
	unix.CAP_SYS_NICE:       {"get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node"},
	unix.CAP_SYS_TTY_CONFIG: {"vhangup"},
	unix.CAP_SYSLOG:         {"syslog"},
	unix.CAP_SYS_PACCT:      {"acct"},
	unix.CAP_BPF:            {"bpf"},
}

// newNamespaces are the flags of clone that make one.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Default is the profile of a runtime for a container that keeps these capabilities.
func Default(capabilities []uintptr) *Profile {
	allowed := map[string]bool{"adjtimex": true} // everybody may read the clock's state with it
	for _, c := range capabilities {
		for _, name := range allowedBy[c] {
			allowed[name] = true
		}
	}
	names := slices.DeleteFunc(slices.Clone(refused), func(name string) bool { return allowed[name] })
	deny := func(errno uint, args []Arg, names ...string) Rule {
		return Rule{Names: names, Action: ActErrno, Errno: &errno, Args: args}
	}
	return &Profile{
		DefaultAction: ActAllow,
		Rules: []Rule{
			deny(uint(unix.EPERM), nil, names...),
			// Its flags lie in memory, where a filter cannot look: programs fall back to clone.
			deny(uint(unix.ENOSYS), nil, "clone3"),
			deny(uint(unix.EPERM), []Arg{{Index: cloneFlags, Op: OpAnySet, Value: newNamespaces}}, "clone"),
			deny(uint(unix.EPERM), []Arg{{Index: 0, Op: OpEqual, Value: unix.AF_VSOCK}}, "socket"),
			// The usual personalities of programs, and the question for the present one.
			{Names: []string{"personality"}, Action: ActAllow, Args: []Arg{{Op: OpEqual, Value: 0}}},
			{Names: []string{"personality"}, Action: ActAllow, Args: []Arg{{Op: OpEqual, Value: 8}}},
			{Names: []string{"personality"}, Action: ActAllow, Args: []Arg{{Op: OpEqual, Value: 0x20000}}},
			{Names: []string{"personality"}, Action: ActAllow, Args: []Arg{{Op: OpEqual, Value: 0x20008}}},
			{Names: []string{"personality"}, Action: ActAllow, Args: []Arg{{Op: OpEqual, Value: 0xffffffff}}},
			deny(uint(unix.EPERM), nil, "personality"),
		},
	}
}

// cloneFlags is which argument of clone they are.
const cloneFlags = 0
