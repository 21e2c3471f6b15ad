package cli

import (
	"context"
	"time"

	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Runners are what the commands do; cmd/kiwerk fills them.
type Runners struct {
	Up      func(context.Context, Session, UpOptions) error
	Down    func(context.Context, Session, DownOptions) error
	Status  func(context.Context, Session) (*Status, error)
	Doctor  func(context.Context, Session) (*Diagnosis, error)
	Demo    func(context.Context, Session, DemoOptions) error
	Kubectl func(context.Context, Session, []string) error
	// Call asks the running platform: body is sent as JSON unless it is nil, the
	// answer is read into answer. What the platform refuses is a Failure.
	Call func(ctx context.Context, s Session, method, path string, body, answer any) error
	// TrackingServer is how the running platform's tracking server is reached.
	TrackingServer func(context.Context, Session) (client.Options, error)
	ControlPlane   func(context.Context, Session) error
	Daemon         func(context.Context, Session) error
	// Worker is a further node of a daemon.
	Worker   func(context.Context, Session) error
	Retrain  Retrain
	GPU      GPU
	Images   Images
	Node     Node
	Tracking Tracking
	// DryRun lets the API server of a kubeconfig, or of the data directory, try objects.
	DryRun func(ctx context.Context, s Session, kubeconfig string, objects []lint.Object) ([]lint.Refusal, error)
}

// Tracking is what can be done without a platform.
type Tracking struct {
	Serve  func(context.Context, Session, ServeOptions) error
	Import func(context.Context, Session, ImportOptions) (*Imported, error)
	Export func(context.Context, Session, ExportOptions) (*Exported, error)
}

// Node is what can be done with nodes.
type Node struct {
	List     func(context.Context, Session) (*Nodes, error)
	Simulate func(context.Context, Session, SimulateOptions) (*NodesDone, error)
	Remove   func(ctx context.Context, s Session, names []string, simulated bool) (*NodesDone, error)
}

// SimulateOptions of kiwerk node simulate.
type SimulateOptions struct {
	Count  int
	File   string // manifest of a node, "-" for standard input
	Name   string
	GPUs   string
	CPU    string
	Memory string
	Pods   int
	// Labels are KEY=VALUE, Taints KEY[=VALUE]:EFFECT.
	Labels, Taints []string
	Open           bool
}

// GPU is what can be done with the node's GPUs.
type GPU struct {
	List    func(context.Context, Session) (*GPUs, error)
	Fail    func(ctx context.Context, s Session, gpu string, xid uint64) (*GPUDone, error)
	Recover func(ctx context.Context, s Session, gpu string) (*GPUDone, error)
}

// Retrain is how a person decides about challengers.
type Retrain struct {
	List    func(ctx context.Context, s Session, namespace string) (*Retrainings, error)
	Approve func(ctx context.Context, s Session, namespace, name string, approve bool, reason string) error
}

// UpOptions of kiwerk up. Empty fields leave what the configuration says.
type UpOptions struct {
	Listen string
	// Network is auto, pod or host; empty takes the configuration's.
	Network string
	Config  string // path of a configuration file
	Detach  bool
	// Nodes stands over runtime.nodes.
	Nodes int
	// Images stands over runtime.images.
	Images string
	// SimulateGPUs and GPUConfig stand over gpus.simulate and gpus.config.
	SimulateGPUs string
	GPUConfig    string
	// Timeout bounds the start.
	Timeout time.Duration
}

// DownOptions of kiwerk down.
type DownOptions struct {
	Timeout time.Duration
	// Clean also ends what does not stop by itself and removes what a crash has left.
	Clean bool
}

// DemoOptions of kiwerk demo.
type DemoOptions struct {
	Name string
	// DataDir is empty unless the user named one.
	DataDir       string
	Report        string
	BadChallenger bool
	Keep          bool
}
