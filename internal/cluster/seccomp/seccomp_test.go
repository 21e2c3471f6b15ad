//go:build linux

package seccomp

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// call is one system call as a filter sees it.
type call struct {
	name string
	args [6]uint64
	arch uint32
}

// decide runs the filter on a call. The library's machine reads words as the network has them.
func decide(t testing.TB, p *Profile, c call) uint32 {
	t.Helper()
	code, err := p.assemble()
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	number, known := numbers[c.name]
	if !known {
		t.Fatalf("no call %q", c.name)
	}
	if c.arch == 0 {
		c.arch = architecture
	}
	data := binary.BigEndian.AppendUint32(nil, number)
	data = binary.BigEndian.AppendUint32(data, c.arch)
	data = binary.BigEndian.AppendUint64(data, 0)
	for _, a := range c.args {
		data = binary.BigEndian.AppendUint32(data, uint32(a))
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

const (
	allow  = unix.SECCOMP_RET_ALLOW
	eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

func TestDefault(t *testing.T) {
	for name, c := range map[string]struct {
		call call
		caps []uintptr
		want uint32
	}{
		"Read":          {call{name: "read"}, nil, allow},
		"Execve":        {call{name: "execve"}, nil, allow},
		"Ptrace":        {call{name: "ptrace"}, nil, allow},
		"Mount":         {call{name: "mount"}, nil, eperm},
		"Unshare":       {call{name: "unshare"}, nil, eperm},
		"Setns":         {call{name: "setns"}, nil, eperm},
		"BPF":           {call{name: "bpf"}, nil, eperm},
		"BPFAllowed":    {call{name: "bpf"}, []uintptr{unix.CAP_BPF}, allow},
		"Keyctl":        {call{name: "keyctl"}, nil, eperm},
		"Userfaultfd":   {call{name: "userfaultfd"}, nil, eperm},
		"Perf":          {call{name: "perf_event_open"}, nil, eperm},
		"IOUring":       {call{name: "io_uring_setup"}, nil, eperm},
		"Kexec":         {call{name: "kexec_load"}, nil, eperm},
		"Clock":         {call{name: "clock_settime"}, nil, eperm},
		"ClockAllowed":  {call{name: "clock_settime"}, []uintptr{unix.CAP_SYS_TIME}, allow},
		"Clone3":        {call{name: "clone3"}, nil, enosys},
		"Fork":          {call{name: "clone", args: [6]uint64{uint64(unix.SIGCHLD)}}, nil, allow},
		"Thread":        {call{name: "clone", args: [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}}, nil, allow},
		"NewUser":       {call{name: "clone", args: [6]uint64{unix.CLONE_NEWUSER | 17}}, nil, eperm},
		"NewNet":        {call{name: "clone", args: [6]uint64{unix.CLONE_NEWNET}}, nil, eperm},
		"Vsock":         {call{name: "socket", args: [6]uint64{unix.AF_VSOCK}}, nil, eperm},
		"Inet":          {call{name: "socket", args: [6]uint64{unix.AF_INET}}, nil, allow},
		"Personality":   {call{name: "personality", args: [6]uint64{0xffffffff}}, nil, allow},
		"NoRandomStack": {call{name: "personality", args: [6]uint64{0x40000}}, nil, eperm},
		"ForeignArch":   {call{name: "read", arch: unix.AUDIT_ARCH_I386}, nil, enosys},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decide(t, Default(c.caps), c.call); got != c.want {
				t.Errorf("%#x, want %#x", got, c.want)
			}
		})
	}
}

// TestDefault_names finds misspelt names: each must be a call of one of our architectures, or of an old kernel.
func TestDefault_names(t *testing.T) {
	elsewhere := []string{"clock_settime64", "create_module", "get_kernel_syms", "query_module", "nfsservctl", "uselib", "vm86", "vm86old", "umount", "_sysctl", "sysfs", "ustat", "iopl", "ioperm", "open_tree_attr"}
	for _, name := range refused {
		if _, known := numbers[name]; !known && !slices.Contains(elsewhere, name) {
			t.Errorf("%s is no system call", name)
		}
	}
}

func TestProfile_args(t *testing.T) {
	const big = 1<<40 | 5
	for name, c := range map[string]struct {
		arg  Arg
		yes  []uint64
		no   []uint64
		want string
	}{
		"Equal":          {Arg{Op: OpEqual, Value: big}, []uint64{big}, []uint64{5, 1 << 40, big + 1}, ""},
		"NotEqual":       {Arg{Op: OpNotEqual, Value: big}, []uint64{5, 1 << 40}, []uint64{big}, ""},
		"Greater":        {Arg{Op: OpGreater, Value: big}, []uint64{big + 1, 1 << 41}, []uint64{big, 6, 1<<39 | 7}, ""},
		"GreaterOrEqual": {Arg{Op: OpGreaterOrEqual, Value: big}, []uint64{big, big + 1, 1 << 41}, []uint64{big - 1, 6}, ""},
		"Less":           {Arg{Op: OpLess, Value: big}, []uint64{big - 1, 6}, []uint64{big, 1 << 41}, ""},
		"LessOrEqual":    {Arg{Op: OpLessOrEqual, Value: big}, []uint64{big, 6}, []uint64{big + 1, 1 << 41}, ""},
		"Masked":         {Arg{Op: OpMaskedEqual, Value: 1<<40 | 0xf, ValueTwo: big}, []uint64{big, big | 0x10}, []uint64{5, big | 2}, ""},
		"AnySet":         {Arg{Op: OpAnySet, Value: big}, []uint64{1, 4, 1 << 40}, []uint64{0, 2, 1 << 41}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.arg.Index = 1
			// A second condition and rules behind it find every wrong jump.
			p := &Profile{DefaultAction: ActKill, Rules: []Rule{
				{Names: []string{"read"}, Action: ActErrno, Args: []Arg{c.arg, {Index: 0, Op: OpEqual, Value: 7}}},
				{Names: []string{"write", "read"}, Action: ActAllow},
			}}
			for _, v := range c.yes {
				if got := decide(t, p, call{name: "read", args: [6]uint64{7, v}}); got != eperm {
					t.Errorf("%#x does not hold: %#x", v, got)
				}
				if got := decide(t, p, call{name: "read", args: [6]uint64{8, v}}); got != allow {
					t.Errorf("the second condition does not hold: %#x", got)
				}
			}
			for _, v := range c.no {
				if got := decide(t, p, call{name: "read", args: [6]uint64{7, v}}); got != allow {
					t.Errorf("%#x holds: %#x", v, got)
				}
			}
			if got := decide(t, p, call{name: "close"}); got != unix.SECCOMP_RET_KILL_THREAD {
				t.Errorf("default: %#x", got)
			}
		})
	}
}

func TestParse(t *testing.T) {
	p, err := Parse([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],
		"syscalls":[{"names":["read","made_up"],"action":"SCMP_ACT_ALLOW"},
		{"names":["socket"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"},{"index":0,"value":10,"op":"SCMP_CMP_EQ"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		call call
		want uint32
	}{
		{call{name: "read"}, allow},
		{call{name: "write"}, enosys},
		{call{name: "socket", args: [6]uint64{2}}, unix.SECCOMP_RET_LOG},
		{call{name: "socket", args: [6]uint64{10}}, unix.SECCOMP_RET_LOG},
		{call{name: "socket", args: [6]uint64{3}}, enosys},
	} {
		if got := decide(t, p, c.call); got != c.want {
			t.Errorf("%+v: %#x, want %#x", c.call, got, c.want)
		}
	}
	for name, c := range map[string]struct{ json, want string }{
		"NoJSON":     {`{`, "not a seccomp profile"},
		"NoAction":   {`{}`, "defaultAction"},
		"Notify":     {`{"defaultAction":"SCMP_ACT_NOTIFY"}`, "SCMP_ACT_NOTIFY"},
		"Index":      {`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_KILL","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}`, "syscalls[0].args[0].index"},
		"Comparison": {`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_KILL","args":[{"op":"any set"}]}]}`, "syscalls[0].args[0].op"},
		"Errno":      {`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":70000}`, "70000"},
		"Listener":   {`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}`, "listenerPath"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(c.json)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":5,"value":1,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["clone"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":0,"op":"SCMP_CMP_GE"},{"index":0,"op":"SCMP_CMP_LT"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		if _, err := p.Compile(); err != nil {
			return
		}
		decide(t, p, call{name: "clone", args: [6]uint64{1 << 33}})
	})
}
