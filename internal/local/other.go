//go:build !linux

package local

import (
	"context"
	"os"
	"runtime"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/local/trackcmd"
	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Runners says what to do where there is no Linux.
func Runners(getenv func(string) string) cli.Runners {
	refuse := &cli.Failure{
		What: text.S(text.NotOffered, runtime.GOOS),
		Try:  text.S(text.UseLinux),
	}
	return cli.Runners{
		Up:             func(context.Context, cli.Session, cli.UpOptions) error { return refuse },
		Down:           func(context.Context, cli.Session, cli.DownOptions) error { return refuse },
		Status:         func(context.Context, cli.Session) (*cli.Status, error) { return nil, refuse },
		Doctor:         func(context.Context, cli.Session) (*cli.Diagnosis, error) { return nil, refuse },
		Demo:           func(context.Context, cli.Session, cli.DemoOptions) error { return refuse },
		Call:           func(context.Context, cli.Session, string, string, any, any) error { return refuse },
		TrackingServer: func(context.Context, cli.Session) (client.Options, error) { return client.Options{}, refuse },
		Kubectl:        func(context.Context, cli.Session, []string) error { return refuse },
		ControlPlane:   func(context.Context, cli.Session) error { return refuse },
		Daemon:         func(context.Context, cli.Session) error { return refuse },
		DryRun:         func(context.Context, cli.Session, string, []lint.Object) ([]lint.Refusal, error) { return nil, refuse },
		Images: cli.Images{
			Load:  func(context.Context, cli.Session, *os.File, string) (*cli.ImageList, error) { return nil, refuse },
			Pull:  func(context.Context, cli.Session, string, *cli.Login) (*cli.ImageList, error) { return nil, refuse },
			List:  func(context.Context, cli.Session) (*cli.ImageList, error) { return nil, refuse },
			Show:  func(context.Context, cli.Session, string) (*cli.Image, error) { return nil, refuse },
			Rm:    func(context.Context, cli.Session, string) (*cli.ImagesRemoved, error) { return nil, refuse },
			Prune: func(context.Context, cli.Session, bool) (*cli.ImagesRemoved, error) { return nil, refuse },
		},
		Tracking: trackcmd.Runners(getenv),
		Retrain: cli.Retrain{
			List:    func(context.Context, cli.Session, string) (*cli.Retrainings, error) { return nil, refuse },
			Approve: func(context.Context, cli.Session, string, string, bool, string) error { return refuse },
		},
	}
}
