//go:build linux

package local

import (
	"time"

	"github.com/kiwerk/kiwerk/internal/config"
)

// assignment is the first message on the control connection: what the daemon
// shall do. The files named by Files travel with it in this order.
type assignment struct {
	Config     config.Config
	DataDir    string
	RuntimeDir string
	Token      string
	UID        uint32 // of the launcher, in the host's user namespace
	BaseURL    string
	Agent      string // paths of the programs
	BinDir     string
	Python     string
	Network    networkState
	// GPUSharing is a file of NVIDIA's device plugin, or empty.
	GPUSharing []byte
	Files      []string
}

// Names of the files that travel with an assignment.
const (
	filePlatform = "platform" // listener
	fileAPI      = "api"      // listener
	fileDiag     = "sock_diag"
	fileLock     = "lock"
	fileHost     = "host" // connection to the launcher's package hostnet
)

// event is what the daemon tells the launcher, and a detached launcher the one that started it.
type event struct {
	Kind   string // one of the event constants
	Phase  string `json:",omitempty"`
	Detail string `json:",omitempty"`
	// Say is a detail in words, for the language of the terminal.
	Say  *wireSentence `json:",omitempty"`
	Took time.Duration
	// Ready: what runs.
	Run *runState `json:",omitempty"`
	// Failure is what a failed launcher would have printed.
	Failure *wireFailure `json:",omitempty"`
}

const (
	eventPhase   = "phase"
	eventNetwork = "network" // the network is as it was wanted; comes first
	eventReady   = "ready"
	eventFailed  = "failed"
)

// order is what a launcher tells the daemon, and kiwerk down the launcher.
type order struct{ Stop bool }

// runState is what status and down read from the data directory; it is there
// while a launcher runs, and after a crash until the next start.
type runState struct {
	Launcher int       `json:"launcher"`
	Daemon   int       `json:"daemon"`
	Started  time.Time `json:"started"`
	Address  string    `json:"address"`
	// URL is the platform's for processes of this machine; Certificate the file
	// with which it answers, if it speaks TLS.
	URL         string `json:"url"`
	Certificate string `json:"certificate,omitempty"`
	APIServer   string `json:"apiServer"`
	// Remembered says that the port is the last start's, because none was named.
	Remembered bool         `json:"remembered,omitempty"`
	Network    networkState `json:"network"`
	RuntimeDir string       `json:"runtimeDir"`
	Kubeconfig string       `json:"kubeconfig"`
	Version    string       `json:"version"`
	Kubernetes string       `json:"kubernetes"`
}
