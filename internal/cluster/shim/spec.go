package shim

import (
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// Spec says what one container is. It lies as spec.json in the container's directory.
type Spec struct {
	ID       string
	Process  Process
	Root     rootfs.Spec
	Hostname string
	// NetNS is the path of the pod's network namespace; "" stays in the shim's.
	NetNS string `json:",omitempty"`
	// LogPath receives stdout and stderr in the format of the CRI.
	LogPath string
	// Socket is where the daemon talks to the shim.
	Socket string
	// Stdin keeps an input open for attach; StdinOnce closes it after the first one.
	Stdin, StdinOnce bool
	// StopSignal is what a graceful stop sends, 0 for SIGTERM.
	StopSignal int
	// Grace is how long the shim waits before SIGKILL when it is stopped without the daemon.
	Grace time.Duration
	// OOMScoreAdj is applied as far as the host lets us.
	OOMScoreAdj int
	// Cgroup is entered before anything else; empty without cgroups.
	Cgroup cgroup.Group `json:",omitempty"`
	// Processes bounds the processes of the user in this namespace where no
	// cgroup does it; 0 for any.
	Processes uint64 `json:",omitempty"`
	// Namespaces are not made anew: by kind (NamespaceIPC and the like) the file
	// of the one to join. An empty name stays in that of the holder.
	Namespaces map[string]string `json:",omitempty"`
	// Proc is the mount of /proc for the pid namespace to join.
	Proc string `json:",omitempty"`
	// Target is the init of another container whose pid namespace is joined; its /proc serves.
	Target *Member `json:",omitempty"`
}

// Kinds of Namespaces.
const (
	NamespaceIPC = "ipc"
	NamespacePID = "pid"
)

// Process is what runs in the container, at its start or by exec.
type Process struct {
	Args     []string
	Env      []string
	Cwd      string
	TTY      bool
	UID, GID uint32
	Groups   []uint32
	// Caps is the bounding set: what root in the container may have.
	Caps []uintptr
	// NoNewPrivs keeps programs from gaining rights by their file's mode.
	NoNewPrivs bool `json:",omitempty"`
	// Seccomp is a filter of system calls as the kernel wants it; empty for none.
	Seccomp []byte `json:",omitempty"`
}

// Exit is how a container or an exec ended.
type Exit struct {
	Code       int
	Signal     int `json:",omitempty"`
	Reason     string
	Message    string `json:",omitempty"`
	StartedAt  time.Time
	FinishedAt time.Time
}

// Reasons of an Exit.
const (
	ReasonCompleted  = "Completed"
	ReasonError      = "Error"
	ReasonStartError = "StartError"
	ReasonShimLost   = "ShimLost"
	// ReasonMachineRestarted tells of a container that ran when the machine went down.
	ReasonMachineRestarted = "MachineRestarted"
	ReasonOOMKilled        = "OOMKilled"
)

// codeStartError is what other runtimes report for a process that could not be started.
const codeStartError = 128

// State is what a shim tells about itself in shim.json.
type State struct {
	PID       int
	Start     uint64 // field 22 of /proc/PID/stat
	InitPID   int
	InitStart uint64
	BootID    string
	MountNS   string // of the shim, that is of the holder which it belongs to
	StartedAt time.Time
}

// Files in a container's directory.
const (
	specFile  = "spec.json"
	stateFile = "shim.json"
	exitFile  = "exit.json"
	lockFile  = "lock"
)

// request is what a peer asks a shim, and the shim its init.
type request struct {
	Op      string
	Signal  int      `json:",omitempty"`
	Process *Process `json:",omitempty"`
	ID      int      `json:",omitempty"`
	Width   uint16   `json:",omitempty"`
	Height  uint16   `json:",omitempty"`
	Streams []string `json:",omitempty"`
}

// Operations of a request.
const (
	opSignal = "signal"
	opKill   = "kill"
	opReopen = "reopen"
	opExec   = "exec"
	opAttach = "attach"
	opResize = "resize"
	opEnd    = "end" // kill what descends from init, which is not alone in its pid namespace
)

// event is an answer to a request or news.
type event struct {
	Kind  string
	ID    int    `json:",omitempty"`
	PID   int    `json:",omitempty"`
	Error string `json:",omitempty"`
	Exit  *Exit  `json:",omitempty"`
	// At is when a process was started.
	At time.Time `json:",omitzero"`
}

// Kinds of an event.
const (
	evOK      = "ok"
	evError   = "error"
	evStarted = "started"
	evExit    = "exit"
)
