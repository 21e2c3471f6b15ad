//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/app"
	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/holder"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/text"
)

// launcher is `kiwerk up` on the user's terminal.
type launcher struct {
	session  cli.Session
	options  cli.UpOptions
	getenv   func(string) string
	config   config.Config
	dir      *dataDir
	programs programs
	sharing  []byte // configuration of the GPUs
	progress *progress
	runtime  string
	// madeRuntime: the folder for sockets was not there before.
	madeRuntime bool
	report      *fdsock.Conn // of a detached start; nil otherwise
	detached    bool
	stopped     bool // cleanly, with all pods
	network     networkState
	// remembered: the platform has the port of the last start, because none was named.
	remembered bool
	// asked is the connection of the kiwerk down that asked for the stop. It ends
	// with this process, when the directories are free: kiwerk down waits for that.
	asked *fdsock.Conn
	// discarded: the data directory is removed after the stop.
	discarded bool
	// onReady, if set, takes the place of printing addresses.
	onReady func(readiness)
}

// graceOfDaemon is how long a clean stop may take before the daemon is killed.
const graceOfDaemon = 90 * time.Second

func up(ctx context.Context, s cli.Session, o cli.UpOptions, getenv func(string) string) error {
	if o.Detach {
		return detach(ctx, s, o)
	}
	l := &launcher{session: s, options: o, getenv: getenv, progress: &progress{session: s, begun: time.Now()}}
	if err := l.openReport(); err != nil {
		return err
	}
	err := l.run(ctx)
	if err != nil && l.report != nil {
		_ = l.report.Send(event{Kind: eventFailed, Detail: err.Error(), Failure: toWire(err)}) // the starter may be gone; the log has it
	}
	if err != nil && l.detached {
		fmt.Fprintln(l.session.Err, err) // nobody sees the standard error of a detached launcher
	}
	return err
}

// run lives from the first check to the end of the daemon.
func (l *launcher) run(ctx context.Context) error {
	l.progress.title()
	begun := time.Now()
	if err := l.prepare(ctx, begun); err != nil {
		return err
	}
	defer l.dir.Close()
	refused := func(err error) error { return errors.Join(err, l.withdraw()) }
	l.tell(event{Kind: eventPhase, Phase: phaseData, Detail: l.dataDetail(), Took: time.Since(begun)})

	files, closeFiles, err := l.open()
	if err != nil {
		return refused(err)
	}
	defer closeFiles()
	commands, err := fdsock.Listen(l.socket())
	if err != nil {
		return refused(failure(text.S(text.RuntimeDirUnusable, l.runtime), text.Sentence{}, err))
	}
	defer func() {
		_ = commands.Close()
		if l.stopped {
			_ = os.RemoveAll(l.runtime) // nothing lives in it any more; a leftover is found again
		}
	}()

	d, err := l.startDaemon(ctx, files)
	if err != nil {
		return err
	}
	closeFiles() // the daemon has its own copies; the addresses are free when it ends
	return l.supervise(ctx, d, commands, begun)
}

// prepare reads the configuration and takes the data directory.
func (l *launcher) prepare(ctx context.Context, now time.Time) (err error) {
	if l.dir, err = openDataDir(l.session.DataDir, currentVersions(), now, statfs); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.withdraw(), l.dir.Close())
		}
	}()
	if former, err := readRun(l.dir.path); err == nil {
		l.options = former.Flags.keep(l.options)
	}
	if l.config, err = loadConfig(l.options, l.dir.file(configFile)); err != nil {
		return err
	}
	if l.sharing, err = readGPUConfig(l.config.GPUs); err != nil {
		return err
	}
	if l.programs, err = findPrograms(l.getenv, l.config.Runtime.Python); err != nil {
		return err
	}
	if err = checkUserNamespaces(ctx); err != nil {
		return err
	}
	if l.runtime, err = runtimeDir(l.dir.path, l.getenv); err != nil {
		return err
	}
	l.madeRuntime = len(missing(l.runtime)) > 0
	if err = makeRuntimeDir(l.runtime); err != nil {
		return err
	}
	if err = rememberDataDir(l.runtime, l.dir.path); err != nil {
		return err
	}
	if err = os.MkdirAll(l.dir.file(logsDir), 0o700); err != nil {
		return err
	}
	return l.logOutput()
}

// withdraw removes the folders of a start that was refused before anything ran in them.
func (l *launcher) withdraw() error {
	errs := []error{l.dir.abandon()}
	if l.madeRuntime {
		errs = append(errs, os.RemoveAll(l.runtime))
	}
	if l.dir.fresh && l.runtime != "" {
		errs = append(errs, forgetDataDir(l.runtime))
	}
	return errors.Join(errs...)
}

// loadConfig puts flags over the file over the defaults.
func loadConfig(o cli.UpOptions, standard string) (config.Config, error) {
	c := config.Default()
	path := o.Config
	if path == "" {
		path = standard
	}
	if _, err := os.Stat(path); err == nil || o.Config != "" {
		if c, err = config.Load(path); err != nil {
			return c, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ConfigInvalid), Cause: err}
		}
	}
	if o.Listen != "" {
		c.Server.Listen = o.Listen
	}
	if o.Images != "" {
		c.Runtime.Images = o.Images
	}
	if o.SimulateGPUs != "" {
		c.GPUs.Simulate = o.SimulateGPUs
	}
	if o.GPUConfig != "" {
		var err error
		if c.GPUs.Config, err = filepath.Abs(o.GPUConfig); err != nil {
			return c, err
		}
	}
	if o.Nodes != 0 {
		c.Runtime.Nodes = o.Nodes
	}
	if o.Network != "" {
		c.Runtime.Network = o.Network
	}
	if err := app.CheckConfig(c); err != nil {
		return c, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.ConfigInvalid), Cause: err}
	}
	return c, nil
}

// open makes the sockets in the host's network and remembers their ports.
func (l *launcher) open() (files map[string]*os.File, closeAll func(), err error) {
	files = map[string]*os.File{fileLock: l.dir.lock}
	closeAll = func() {
		for name, f := range files {
			if name != fileLock { // the launcher keeps the lock
				_ = f.Close() // only a copy
			}
		}
	}
	fail := func(err error) (map[string]*os.File, func(), error) {
		closeAll()
		return nil, nil, err
	}
	listen := chooseListen(l.config.Server.Listen, l.options.Listen != "", l.dir.versions.Ports)
	platform, err := listenPlatform(listen, l.dir.versions.Ports.Platform)
	if err != nil {
		return fail(err)
	}
	defer platform.Close()
	l.remembered = listen != l.config.Server.Listen && portOf(platform) == l.dir.versions.Ports.Platform
	l.config.Server.Listen = platform.Addr().String()
	api, err := listenAPI(l.dir.versions.Ports.API)
	if err != nil {
		return fail(err)
	}
	defer api.Close()
	if files[filePlatform], err = platform.File(); err != nil {
		return fail(err)
	}
	if files[fileAPI], err = api.File(); err != nil {
		return fail(err)
	}
	if files[fileDiag], err = front.OpenDiag(); err != nil {
		return fail(err)
	}
	l.dir.versions.Ports = ports{Platform: portOf(platform), PlatformFree: strings.HasSuffix(listen, ":0"), API: portOf(api)}
	if err := l.dir.saveVersions(); err != nil {
		return fail(err)
	}
	return files, closeAll, nil
}

// daemonProcess is the running daemon as the launcher sees it.
type daemonProcess struct {
	pid    int
	events chan event // closed when the control connection ends
	conn   *fdsock.Conn
	exit   <-chan error // what the holder said when the process ended
	holder *holder.Client
}

func (l *launcher) tryDaemon(ctx context.Context, files map[string]*os.File) (*daemonProcess, error) {
	token, err := l.dir.token()
	if err != nil {
		return nil, failure(text.S(text.DataDirUnusable, l.dir.path), text.Sentence{}, err)
	}
	conn, theirs, err := fdsock.Pair("control")
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	h, err := l.holderFor(ctx)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	hostNetwork, err := serveHost(context.WithoutCancel(ctx))
	if err != nil {
		return nil, errors.Join(err, conn.Close(), l.giveUp(ctx, h))
	}
	defer hostNetwork.Close()
	d := &daemonProcess{conn: conn, events: make(chan event, 16), holder: h}
	if d.pid, err = l.spawn(ctx, h, theirs); err != nil {
		return nil, errors.Join(failure(text.S(text.HolderFailed), l.seeLog(), err), conn.Close(), l.giveUp(ctx, h))
	}
	d.exit = exitOf(h)
	a := assignment{
		Config: l.config, DataDir: l.dir.path, RuntimeDir: l.runtime, Token: token, UID: uint32(os.Getuid()),
		BaseURL: localURL(l.config.Server), Agent: l.programs.agent, BinDir: l.programs.binDir, Python: l.programs.python,
		GPUSharing: l.sharing,
		Network:    l.network,
	}
	var list []*os.File
	for _, name := range []string{filePlatform, fileAPI, fileDiag, fileLock} {
		a.Files = append(a.Files, name)
		list = append(list, files[name])
	}
	a.Files, list = append(a.Files, fileHost), append(list, hostNetwork)
	if err := conn.Send(a, list...); err != nil {
		return nil, errors.Join(failure(text.S(text.StartFailed, "daemon"), l.seeLog(), err), conn.Close(), l.giveUp(ctx, h))
	}
	go d.receive()
	if err := l.awaitNetwork(ctx, d); err != nil {
		return nil, errors.Join(err, conn.Close(), l.giveUp(ctx, h))
	}
	return d, nil
}

// giveUp ends a holder that cannot be used, and its link with the host, unless
// pods of an earlier start live in it. It does so also when ctx has ended.
func (l *launcher) giveUp(ctx context.Context, h *holder.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceOfDaemon)
	defer cancel()
	st, err := h.Status(ctx)
	if err != nil || len(st.Orphans) > 0 {
		return errors.Join(err, h.Close())
	}
	return errors.Join(h.Shutdown(ctx), leaveHost(ctx, l.dir.path))
}

func (d *daemonProcess) receive() {
	defer close(d.events)
	for {
		var e event
		if _, err := d.conn.Recv(&e); err != nil {
			return
		}
		d.events <- e
	}
}

// supervise prints what the daemon tells until it ends.
func (l *launcher) supervise(ctx context.Context, d *daemonProcess, commands *fdsock.Listener, begun time.Time) error {
	stops := make(chan *fdsock.Conn)
	go acceptStops(commands, stops)
	timeout := time.NewTimer(l.options.Timeout)
	defer timeout.Stop()
	flags, err := flagsOf(l.options)
	if err != nil {
		return err
	}
	var phase string
	run := runState{
		Launcher: os.Getpid(), Daemon: d.pid, Started: begun, Address: l.config.Server.Listen,
		URL: localURL(l.config.Server), Certificate: l.config.Server.TLS.CertFile,
		APIServer: fmt.Sprintf("127.0.0.1:%d", l.dir.versions.Ports.API), RuntimeDir: l.runtime, Kubeconfig: l.dir.file(kubeconfigFile),
		Version: currentVersions().Version, Kubernetes: currentVersions().Kubernetes, Network: l.network, Remembered: l.remembered, Flags: flags,
	}
	if err := writeJSON(l.dir.file(runFile), run); err != nil {
		return failure(text.S(text.DataDirUnusable, l.dir.path), text.Sentence{}, err)
	}
	for {
		select {
		case e, ok := <-d.events:
			switch {
			case !ok:
				return l.lost(d)
			case e.Kind == eventPhase:
				phase = e.Phase
				l.tell(e)
			case e.Kind == eventReady:
				timeout.Stop()
				if took := time.Since(begun); l.onReady != nil {
					l.onReady(readiness{run, took, l.programs.python})
				} else {
					l.tell(event{Kind: eventReady, Run: &run, Took: took})
				}
			case e.Kind == eventFailed:
				<-d.exit //nolint:errcheck // What failed is told by the event.
				return failure(text.S(text.StartFailed, e.Phase), l.seeLog(), errors.New(e.Detail))
			}
		case <-ctx.Done():
			return l.stop(d)
		case c := <-stops:
			l.asked = c
			return l.stop(d)
		case <-timeout.C:
			err := l.stop(d)
			return errors.Join(&cli.Failure{Code: cli.ExitNotReady, What: text.S(text.StartTimeout, l.options.Timeout.String(), phase), Try: l.seeLog()}, err)
		}
	}
}

// acceptStops waits for kiwerk down.
func acceptStops(l *fdsock.Listener, stops chan<- *fdsock.Conn) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // the listener was closed
		}
		var o order
		if _, err := c.Recv(&o); err == nil && o.Stop {
			stops <- c
			return
		}
		_ = c.Close() // only looked whether we live
	}
}

// lost tells why the daemon ended by itself. Pods go on under the holder, unless that was lost as well.
func (l *launcher) lost(d *daemonProcess) error {
	err := <-d.exit
	if errors.Is(err, holder.ErrLost) {
		return failure(text.S(text.HolderLost), try("kiwerk up --data-dir "+l.dir.path), err)
	}
	return failure(text.S(text.DaemonLost), l.seeLog(), err)
}

// stop ends pods, daemon and holder.
func (l *launcher) stop(d *daemonProcess) error {
	fmt.Fprintln(l.progress.talk(), l.session.Text.T(text.UpStopping))
	if err := d.conn.Send(order{Stop: true}); err != nil && !errors.Is(err, io.EOF) {
		return l.lost(d)
	}
	again := interrupted(time.Now())
	timer := time.NewTimer(graceOfDaemon)
	defer timer.Stop()
	go func() {
		for range d.events { //nolint:revive // The daemon must not block on telling.
		}
	}()
	var err error
	select {
	case err = <-d.exit:
	case <-again:
		fmt.Fprintln(l.progress.talk(), l.session.Text.T(text.UpStopAgain))
		err = d.kill()
	case <-timer.C:
		err = d.kill()
	}
	ctx, cancel := context.WithTimeout(context.Background(), graceOfDaemon)
	defer cancel()
	err = errors.Join(err, d.holder.Shutdown(ctx), leaveHost(ctx, l.dir.path), os.Remove(l.dir.file(runFile)))
	if err == nil {
		l.stopped = true
		fmt.Fprintln(l.progress.talk(), l.session.Text.T(l.ending(), l.dir.path))
	}
	return err
}

// ending is what a clean stop says of the data.
func (l *launcher) ending() text.Key {
	if l.discarded {
		return text.UpStoppedDiscarded
	}
	return text.UpStopped
}

func (d *daemonProcess) kill() error {
	p, err := os.FindProcess(d.pid)
	if err != nil {
		return err
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-d.exit //nolint:errcheck // A stop that was asked for.
	return nil
}

// tell prints an event and hands it to whoever started us detached.
func (l *launcher) tell(e event) {
	show(l.progress, e, l.detached)
	if l.report == nil {
		return
	}
	if err := l.report.Send(e); err != nil || e.Kind == eventReady {
		_ = l.report.Close() // it has heard what it waited for, or is gone
		l.report = nil
	}
}

func show(p *progress, e event, detached bool) {
	switch e.Kind {
	case eventPhase:
		detail := e.Detail
		if e.Say != nil {
			detail = e.Say.sentence().In(p.session.Text)
		}
		p.phase(e.Phase, detail, e.Took)
	case eventReady:
		p.ready(*e.Run, e.Took, detached)
	}
}

func (l *launcher) dataDetail() string {
	if l.dir.backup != "" {
		return l.session.Text.T(text.UpDetailBackup, l.dir.path, l.dir.backup)
	}
	if l.discarded {
		return l.session.Text.T(text.UpDetailDiscarded, l.dir.path)
	}
	return l.session.Text.T(text.UpDetailData, l.dir.path)
}

func (l *launcher) socket() string { return l.runtime + "/" + commandSocket }

// commandSocket is where kiwerk down finds the launcher.
const commandSocket = "up.sock"

func (l *launcher) seeLog() text.Sentence { return text.S(text.SeeLog, l.dir.file(logsDir, daemonLog)) }

// daemonLog is the log of everything in the daemon.
const daemonLog = "kiwerk.log"
