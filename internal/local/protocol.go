//go:build linux

package local

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/kiwerk/kiwerk/internal/cli"
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
	// Flags are those of the start, for the next one if this one does not end by itself.
	Flags startFlags `json:"flags"`
}

// startFlags decide what a running platform consists of.
type startFlags struct {
	Config       string `json:"config,omitempty"`
	Network      string `json:"network,omitempty"`
	Images       string `json:"images,omitempty"`
	SimulateGPUs string `json:"simulateGPUs,omitempty"`
	GPUConfig    string `json:"gpuConfig,omitempty"`
	Nodes        int    `json:"nodes,omitempty"`
}

// flagsOf are those of a start, with paths that mean the same from every folder.
func flagsOf(o cli.UpOptions) (startFlags, error) {
	f := startFlags{Config: o.Config, Network: o.Network, Images: o.Images, SimulateGPUs: o.SimulateGPUs, GPUConfig: o.GPUConfig, Nodes: o.Nodes}
	for _, path := range []*string{&f.Config, &f.GPUConfig} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return f, err
		}
		*path = absolute
	}
	return f, nil
}

// keep are the flags for a start after a crash: what is not named stays as it
// was. Otherwise the containers that are adopted would lose their node or GPUs.
func (f startFlags) keep(o cli.UpOptions) cli.UpOptions {
	o.Config, o.Network, o.Images = cmp.Or(o.Config, f.Config), cmp.Or(o.Network, f.Network), cmp.Or(o.Images, f.Images)
	o.SimulateGPUs, o.GPUConfig, o.Nodes = cmp.Or(o.SimulateGPUs, f.SimulateGPUs), cmp.Or(o.GPUConfig, f.GPUConfig), cmp.Or(o.Nodes, f.Nodes)
	return o
}
