//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/leftover"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/text"
)

// clean stops as down does and then removes what that has left: after a crash,
// with a damaged data directory, or when processes hang. What is stored stays.
func clean(ctx context.Context, s cli.Session, o cli.DownOptions, getenv func(string) string) error {
	c, err := clusterOf(s.DataDir, getenv)
	if err != nil {
		return err
	}
	// Half of the time for a clean stop, half for what does not end by itself.
	polite := o
	polite.Timeout, polite.Clean = o.Timeout/2, false
	stopErr := down(ctx, s, polite, getenv)
	var unknown *cli.Failure
	if errors.As(stopErr, &unknown) && unknown.Code == cli.ExitNotFound {
		stopErr = nil // no data directory of ours any more; processes may be there all the same
	}
	if stopErr != nil {
		fmt.Fprintln(s.Err, s.Text.T(text.CleanNotStopped, stopErr.Error()))
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	removed, groups := hostNetwork(ctx, c), namedCgroups(c.DataDir)
	for _, dir := range groups {
		removed = append(removed, "cgroup "+dir)
	}
	ended, err := c.Clean(ctx)
	for _, p := range ended {
		fmt.Fprintln(s.Err, s.Text.T(text.CleanEnded, string(p.Role), fmt.Sprint(p.PID), p.Command))
	}
	err = errors.Join(err, removeCgroups(groups), leaveHost(ctx, c.DataDir))
	for _, name := range removed {
		fmt.Fprintln(s.Err, s.Text.T(text.CleanRemoved, name))
	}
	if e := os.Remove(filepath.Join(s.DataDir, runFile)); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	if err == nil && unknown != nil && unknown.Code == cli.ExitNotFound && len(ended)+len(removed) == 0 {
		return unknown
	}
	if err == nil {
		fmt.Fprintln(s.Err, s.Text.T(text.CleanDone, s.DataDir))
	}
	return err
}

// clusterOf names what belongs to a data directory, which may be gone.
func clusterOf(dataDir string, getenv func(string) string) (leftover.Cluster, error) {
	real, err := filepath.EvalSymlinks(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = filepath.Clean(dataDir), nil
	}
	if err != nil {
		return leftover.Cluster{}, err
	}
	return leftover.Cluster{DataDir: real, RuntimeDir: runtimeDirOf(real, getenv)}, nil
}

// hostNetwork lists what a cluster has left in the host's network; only root's has anything there.
func hostNetwork(ctx context.Context, c leftover.Cluster) []string {
	if os.Geteuid() != 0 {
		return nil
	}
	return network.HostLeft(ctx, c.DataDir)
}

// unknownData says that there is no data to go by, and what runs or is left all the same.
func unknownData(ctx context.Context, s cli.Session, getenv func(string) string, advice string) error {
	f := &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.DataDirUnknown, s.DataDir), Try: try(advice)}
	if left := leftNotes(ctx, cli.StateStopped, s.DataDir, getenv); len(left) > 0 {
		f.Why, f.Try = left[0].Message, try("kiwerk down --clean --data-dir "+s.DataDir)
	}
	return f
}

// leftNotes say what is left although nothing should be: a platform in state
// lost still has its holder and containers.
func leftNotes(ctx context.Context, state, dataDir string, getenv func(string) string) []cli.Note {
	c, err := clusterOf(dataDir, getenv)
	if err != nil {
		return nil
	}
	processes, err := c.Processes()
	if err != nil {
		return nil // /proc is not there to be read
	}
	var notes []cli.Note
	holds, left := false, 0
	for _, p := range processes {
		holds = holds || p.Role == leftover.Holder
		if state == cli.StateStopped || p.Role == leftover.Launcher || p.Role == leftover.Daemon {
			left++
		}
	}
	things := len(c.Mounts())
	if state == cli.StateStopped {
		things += len(hostNetwork(ctx, c))
		if g, err := savedCgroups(c.DataDir); err == nil {
			things += len(g)
		}
	}
	if left+things > 0 {
		notes = append(notes, note("LeftOver", text.NoteLeftOver, left, things, dataDir))
	}
	if state == cli.StateLost && !holds {
		notes = append(notes, note("HolderLost", text.NoteHolderLost))
	}
	return notes
}
