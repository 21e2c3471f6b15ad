//go:build linux

package local

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster"
	"github.com/kiwerk/kiwerk/internal/local/trackcmd"
)

// Runners fills the command tree.
func Runners(getenv func(string) string) cli.Runners {
	return cli.Runners{
		Up: func(ctx context.Context, s cli.Session, o cli.UpOptions) error { return up(ctx, s, o, getenv) },
		Down: func(ctx context.Context, s cli.Session, o cli.DownOptions) error {
			return down(ctx, s, o, getenv)
		},
		Status: func(ctx context.Context, s cli.Session) (*cli.Status, error) { return status(ctx, s, getenv) },
		Doctor: func(ctx context.Context, s cli.Session) (*cli.Diagnosis, error) { return doctor(ctx, s, getenv) },
		Demo: func(ctx context.Context, s cli.Session, o cli.DemoOptions) error {
			return playDemo(ctx, s, o, getenv)
		},
		ControlPlane: func(ctx context.Context, s cli.Session) error {
			return cluster.RunControlPlane(ctx, []string{"--dir", s.DataDir}, s.In, s.Out)
		},
		Kubectl:        runKubectl,
		Call:           callPlatform,
		GPU:            cli.GPU{List: listGPUs, Fail: failGPU, Recover: recoverGPU},
		Node:           cli.Node{List: listNodes, Simulate: simulateNodes, Remove: removeNodes},
		Tracking:       trackcmd.Runners(getenv),
		TrackingServer: trackingServer,
		Retrain:        cli.Retrain{List: listRetrainings, Approve: approveRetraining},
		DryRun:         dryRun,
		Images:         imageCommands(getenv),
		Daemon:         func(ctx context.Context, _ cli.Session) error { return runDaemon(ctx) },
		Worker:         func(ctx context.Context, s cli.Session) error { return runWorker(ctx, s.In, getenv) },
	}
}
