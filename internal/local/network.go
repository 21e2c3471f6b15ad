//go:build linux

package local

import (
	"context"
	"errors"
	"os"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/holder"
	"github.com/kiwerk/kiwerk/internal/cluster/hostnet"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/text"
)

// networkState is how pods are connected, as the daemon is told it and status shows it.
type networkState struct {
	// Pods have a network of their own.
	Pods bool `json:"pods"`
	// Uplink is the link to the host that root has made; without one the daemon
	// carries the connections of pods itself.
	Uplink *network.Uplink `json:"uplink,omitempty"`
	// Reason is why something less was taken than what there is.
	Reason string `json:"reason,omitempty"`
}

// mode is the word of the configuration.
func (n networkState) mode() string {
	if n.Pods {
		return config.NetworkPod
	}
	return config.NetworkHost
}

// wantsPodNetwork decides before anything was tried. A reason for the host's
// network is one only where that was not asked for.
func wantsPodNetwork(setting string) (bool, string, error) {
	if setting == config.NetworkHost {
		return false, "", nil
	}
	if _, err := network.NftProgram(); err != nil {
		if setting == config.NetworkPod {
			return false, "", failure(text.S(text.PodNetworkFailed), try("sudo apt-get install nftables"), err)
		}
		return false, err.Error(), nil
	}
	return true, "", nil
}

// errNoPodNetwork is what the daemon could not do in the holder's network.
type errNoPodNetwork struct{ detail string }

func (e *errNoPodNetwork) Error() string { return e.detail }

// startDaemon starts the daemon, on the host's network if this machine lets
// nobody make another.
func (l *launcher) startDaemon(ctx context.Context, files map[string]*os.File) (*daemonProcess, error) {
	setting := l.config.Runtime.Network
	pods, reason, err := wantsPodNetwork(setting)
	if err != nil {
		return nil, err
	}
	l.network = networkState{Pods: pods, Reason: reason}
	d, err := l.tryDaemon(ctx, files)
	var refused *errNoPodNetwork
	if !errors.As(err, &refused) {
		return d, err
	}
	if setting == config.NetworkPod {
		return nil, failure(text.S(text.PodNetworkFailed), l.seeLog(), refused)
	}
	l.network = networkState{Reason: refused.detail}
	d, err = l.tryDaemon(ctx, files)
	if errors.As(err, &refused) { // pods of the last run keep it
		return nil, failure(text.S(text.PodNetworkFailed), l.seeLog(), refused)
	}
	return d, err
}

// holderFor connects to a holder with the wanted kind of network. One that
// keeps pods of the last run decides itself.
func (l *launcher) holderFor(ctx context.Context) (*holder.Client, error) {
	h, err := l.ensureHolder(ctx)
	if err != nil {
		if l.network.Pods {
			return nil, &errNoPodNetwork{err.Error()} // without it the same error comes again, or none
		}
		return nil, err
	}
	st, err := h.Status(ctx)
	if err != nil {
		return nil, errors.Join(failure(text.S(text.HolderFailed), l.seeLog(), err), h.Close())
	}
	if st.PodNetwork == l.network.Pods {
		l.joinHost(ctx, st.PID)
		return h, nil
	}
	if len(st.Orphans) == 0 {
		if err := h.Shutdown(ctx); err != nil {
			return nil, err
		}
		return l.holderFor(ctx)
	}
	if setting := l.config.Runtime.Network; setting != config.NetworkAuto {
		return nil, errors.Join(failure(text.S(text.NetworkChanged, setting), try("kiwerk down --data-dir "+l.dir.path), nil), h.Close())
	}
	l.network = networkState{Pods: st.PodNetwork}
	if !st.PodNetwork {
		l.network.Reason = "the pods that still run were started with it"
	}
	l.joinHost(ctx, st.PID)
	return h, nil
}

// joinHost lets the host carry the node's packets, which only root can.
// Otherwise the daemon does it.
func (l *launcher) joinHost(ctx context.Context, holderPID int) {
	if !l.network.Pods || os.Geteuid() != 0 {
		return
	}
	u, err := network.JoinHost(ctx, l.dir.path, holderPID)
	if err != nil {
		l.network.Reason = err.Error()
		return
	}
	l.network.Uplink = &u
}

// leaveHost removes what joinHost made.
func leaveHost(ctx context.Context, dataDir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return network.LeaveHost(ctx, dataDir)
}

// serveHost makes sockets in the host's network for the daemon, as long as that lives.
func serveHost(ctx context.Context) (*os.File, error) {
	conn, theirs, err := fdsock.Pair("host network")
	if err != nil {
		return nil, err
	}
	go func() {
		hostnet.Serve(ctx, conn)
		_ = conn.Close() // the daemon is gone
	}()
	return theirs, nil
}

// awaitNetwork waits for the daemon's word on the network.
func (l *launcher) awaitNetwork(ctx context.Context, d *daemonProcess) error {
	select {
	case e, ok := <-d.events:
		switch {
		case !ok:
			return l.lost(d)
		case e.Kind != eventFailed:
			return nil
		}
		<-d.exit //nolint:errcheck // What failed is told by the event.
		if e.Phase == phaseNetwork {
			return &errNoPodNetwork{e.Detail}
		}
		return failure(text.S(text.StartFailed, e.Phase), l.seeLog(), errors.New(e.Detail))
	case <-ctx.Done():
		return errors.Join(ctx.Err(), d.kill())
	}
}

// tryNetwork bounds the trial: a doctor must not wait for what hangs.
func tryNetwork(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return network.TryPodNetwork(ctx)
}

// checkNetwork tells what `up` will find.
func checkNetwork(ctx context.Context, s cli.Session, getenv func(string) string) cli.Finding {
	const name = "network"
	c, err := loadConfig(cli.UpOptions{Config: getenv("KIWERK_CONFIG")}, s.DataDir+"/"+configFile)
	if err != nil {
		return finding(name, cli.LevelProblem, text.S(text.Verbatim, err.Error()))
	}
	if c.Runtime.Network == config.NetworkHost {
		return finding(name, cli.LevelNote, text.S(text.NoteHostNetwork, "runtime.network: host"))
	}
	err = tryNetwork(ctx)
	if err == nil && os.Geteuid() == 0 && errors.Is(network.CheckForward(ctx), network.ErrForwardRefused) {
		return finding(name, cli.LevelNote, text.S(text.DoctorForwardRefused, network.PodCIDR.String()))
	}
	if err == nil {
		return finding(name, cli.LevelOK, text.S(text.DoctorPodNetwork, network.PodCIDR.String()))
	}
	level := cli.LevelNote
	if c.Runtime.Network == config.NetworkPod {
		level = cli.LevelProblem
	}
	f := finding(name, level, text.S(text.NoteHostNetwork, err.Error()))
	if errors.Is(err, network.ErrNoNft) {
		f.TryMessage = try("sudo apt-get install nftables")
	}
	return f
}

// why pods share the host's network.
func (n networkState) why() string {
	if n.Reason == "" {
		return "runtime.network: host"
	}
	return n.Reason
}

// status is what `kiwerk status` shows of a run.
func (n networkState) status() *cli.Network {
	out := &cli.Network{Mode: n.mode(), Reason: n.Reason}
	if n.Pods {
		out.PodCIDR, out.Egress = network.PodCIDR.String(), "kiwerk"
		if n.Uplink != nil {
			out.Egress = "host"
		}
	}
	return out
}
