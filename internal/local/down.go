//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/text"
)

// down asks the launcher to stop and waits until it is gone. Without a launcher it
// stops what an ended platform has left running.
func down(ctx context.Context, s cli.Session, o cli.DownOptions, getenv func(string) string) error {
	if o.Clean {
		return clean(ctx, s, o, getenv)
	}
	if _, err := os.Stat(filepath.Join(s.DataDir, versionsFile)); err != nil {
		return unknownData(ctx, s, getenv, "kiwerk down --data-dir DIR")
	}
	rt, err := runtimeDir(s.DataDir, getenv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	c, err := fdsock.Dial(filepath.Join(rt, commandSocket))
	if err != nil {
		return downLost(ctx, s, rt)
	}
	defer c.Close()
	fmt.Fprintln(s.Err, s.Text.T(text.UpStopping))
	if err := c.Send(order{Stop: true}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends Recv
	defer stop()
	for err == nil { // the connection ends with the launcher
		var e event
		_, err = c.Recv(&e)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	fmt.Fprintln(s.Err, s.Text.T(text.UpStopped, s.DataDir))
	return nil
}
