package holder

import "time"

// Exit is how the daemon ended.
type Exit struct {
	Code   int
	Signal int `json:",omitempty"`
}

// request is what a launcher asks.
type request struct {
	ID      int
	Op      string
	Command *wireCommand  `json:",omitempty"`
	Signal  int           `json:",omitempty"`
	Within  time.Duration `json:",omitempty"`
}

// wireCommand is a Command without its files, which are passed beside it:
// stdin, stdout, stderr, then those for descriptors 3 and up.
type wireCommand struct {
	Path string
	Args []string
	Env  []string
	Dir  string
}

const (
	opStart    = "start"
	opSignal   = "signal"
	opShutdown = "shutdown"
	opStatus   = "status"
)

// event answers the request with the same ID, or tells news (ID 0).
type event struct {
	ID     int
	Error  string  `json:",omitempty"`
	PID    int     `json:",omitempty"`
	Exit   *Exit   `json:",omitempty"`
	Status *Status `json:",omitempty"`
}

// Status is what a holder has.
type Status struct {
	// PID of the holder.
	PID int
	// Daemon is the pid of the daemon, 0 if there is none.
	Daemon int
	// PodNetwork tells whether the holder has a network namespace of its own.
	PodNetwork bool `json:",omitempty"`
	// Orphans are the children left by former daemons: shims.
	Orphans []int
}

// PodNetwork is the argument with which a holder is told that it was started
// in a network namespace of its own.
const PodNetwork = "pod-network"

const (
	lockName   = "hold.lock"
	socketName = "hold.sock"
	fdLauncher = 3
	fdLock     = 4
)
