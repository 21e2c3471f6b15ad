//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/app"
	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/cluster"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/devices"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

const (
	// controlFD is where the daemon finds the connection to its launcher.
	controlFD = 3
	// A start allocates much and keeps little, so collecting often would cost a
	// quarter of its CPU time; afterwards memory matters more. Measured in bench/up.
	gcPercentStart = 300
	gcPercent      = 100
	// stopPods is how long pods get together, on a clean stop.
	stopPods = 45 * time.Second
	stopRest = 20 * time.Second
)

// daemon is Kubernetes and the platform in one process.
type daemon struct {
	job     assignment
	control *fdsock.Conn
	log     *slog.Logger
	clock   clock.RealClock
	begun   time.Time

	cluster *cluster.Cluster
	pods    *cri.Server // of the first node
	workers []workerNode
	images  *imageServer
	front   *front.Front
	app     *app.App
	ports   *ports2nodes
	gpus    *devices.Manager // nil without any
	network *podNetwork      // nil if pods share the host's

	// lock is the launcher's lock of the data directory. Held until the process
	// ends; a file that nothing refers to is closed by the collector.
	lock *os.File

	mu    sync.Mutex
	phase string
	api   chan struct{} // closed when the API server answers
	// kubernetesTook adds up the phases that are one for a person.
	kubernetesTook time.Duration
}

// runDaemon is `kiwerk internal daemon`.
func runDaemon(ctx context.Context) error {
	debug.SetGCPercent(gcPercentStart)
	control, err := fdsock.FromFile(os.NewFile(controlFD, "control"))
	if err != nil {
		return fmt.Errorf("this command is started by kiwerk up, not by hand: %w", err)
	}
	d := &daemon{control: control, begun: time.Now()}
	files, err := control.Recv(&d.job)
	if err != nil {
		return fmt.Errorf("this command is started by kiwerk up, not by hand: %w", err)
	}
	out := logFile(filepath.Join(d.job.DataDir, logsDir, daemonLog), d.job.Config.Logs)
	defer out.Close()
	d.log = newLogger(out, d.job.Config.Logs.Level)
	stop := d.watchLauncher(ctx)
	return d.run(context.WithoutCancel(ctx), files, stop)
}

// failed tells why before anything is torn down: Kubernetes' components may
// end the process while they are stopped in the middle of their start.
func (d *daemon) failed(err error) error {
	d.log.Error("the platform failed", "phase", d.currentPhase(), "error", err)
	_ = d.control.Send(event{Kind: eventFailed, Phase: d.currentPhase(), Detail: err.Error()}) // the launcher may be gone
	return err
}

// watchLauncher returns a channel that is closed by the order to stop. A
// launcher that is gone without one ends the process at once, as a crash
// would: pods live on and the next start adopts them.
func (d *daemon) watchLauncher(ctx context.Context) <-chan struct{} {
	stop := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(stop) }) }
	context.AfterFunc(ctx, end) // SIGTERM, from the holder
	go func() {
		var o order
		_, err := d.control.Recv(&o)
		if err != nil || !o.Stop {
			d.log.Warn("the launcher is gone; pods keep running", "error", err)
			os.Exit(1)
		}
		end()
		if _, err := d.control.Recv(&o); err != nil { // gone while we stop
			d.log.Warn("the launcher is gone; pods keep running", "error", err)
			os.Exit(1)
		}
	}()
	return stop
}

func (d *daemon) run(ctx context.Context, files []*os.File, stop <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := d.build(ctx, files); err != nil {
		return d.failed(err)
	}
	started := make(chan error, 1)
	go func() { started <- d.start(ctx) }()
	select {
	case err := <-started:
		if err != nil {
			return errors.Join(d.failed(err), d.stop(false))
		}
	case <-stop:
		cancel()
		return errors.Join(ignoreCanceled(<-started), d.stop(true))
	}
	d.front.SetReady()
	if err := d.control.Send(event{Kind: eventReady, Took: time.Since(d.begun)}); err != nil {
		return err
	}
	d.log.Info("ready", "duration", time.Since(d.begun))
	// What the start needed is many times what idling needs.
	debug.SetGCPercent(gcPercent)
	debug.FreeOSMemory()
	select {
	case <-stop:
		return d.stop(true)
	case <-d.cluster.Done():
		return d.ended(d.cluster.Err())
	case err := <-d.app.Failed():
		return d.ended(err)
	case err := <-d.front.Failed():
		return d.ended(err)
	}
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// ended closes what is still whole after a part has failed. Pods live on.
func (d *daemon) ended(err error) error { return errors.Join(d.failed(err), d.stop(false)) }

// build makes the parts; nothing runs yet.
func (d *daemon) build(ctx context.Context, files []*os.File) error {
	byName := map[string]*os.File{}
	for i, name := range d.job.Files {
		if i < len(files) {
			byName[name] = files[i]
		}
	}
	if d.job.Network.Pods {
		d.phase = phaseNetwork
		if err := d.openNetwork(ctx, byName[fileHost]); err != nil {
			return err
		}
	}
	if err := d.control.Send(event{Kind: eventNetwork}); err != nil {
		return err
	}
	platform, err := listener(byName[filePlatform])
	if err != nil {
		return err
	}
	api, err := listener(byName[fileAPI])
	if err != nil {
		return err
	}
	diagFile := byName[fileDiag]
	if d.lock = byName[fileLock]; diagFile == nil || d.lock == nil {
		return errors.New("the launcher passed too few files")
	}
	d.front = front.New(d.log.With("component", "front"))
	if err := d.front.Serve(platform, d.job.Config.Server.TLS); err != nil {
		return err
	}
	local := &app.Local{Token: d.job.Token, OwnPeer: front.NewDiag(diagFile, d.job.UID).OwnPeer, URL: d.job.BaseURL}
	if d.network != nil {
		d.front.ServeOpen(d.network.platform)
		local.PodNetwork, local.Dial = true, d.network.host.DialContext
	}
	if err := d.buildCluster(api); err != nil {
		return err
	}
	if err := d.buildGPUs(ctx); err != nil {
		return err
	}
	options := app.Options{
		Config: d.job.Config, DataDir: d.job.DataDir, Front: d.front, Clock: d.clock, Logger: d.log,
		Platform: d.platform(), Local: local,
		Endpoints: gpuEndpoints(d.gpus),
	}
	if d.gpus != nil {
		options.Collectors = append(options.Collectors, d.gpus)
	}
	d.app, err = app.New(options)
	return err
}

func listener(f *os.File) (net.Listener, error) {
	if f == nil {
		return nil, errors.New("the launcher passed too few sockets")
	}
	defer f.Close()
	return net.FileListener(f)
}

func (d *daemon) buildCluster(api net.Listener) (err error) {
	data := d.job.DataDir
	d.ports = &ports2nodes{}
	node, err := d.nodeNetwork(api)
	if err != nil {
		return err
	}
	d.cluster, err = cluster.New(cluster.Config{
		DataDir: data, RuntimeDir: d.job.RuntimeDir, APIListener: api, Node: node,
		CRISocket: filepath.Join(d.job.RuntimeDir, criSocket),
		Ports:     d.ports, Workers: d.clusterWorkers(),
		Served: func(image string) (string, bool) { return d.pods.Served(image) },
		Logger: kubernetesLogger(d.log, d.job.Config.Logs.Level),
		Phase:  d.clusterPhase,
	})
	if err != nil {
		return err
	}
	store, err := d.openImages()
	if err != nil {
		return err
	}
	mode := cri.ImageMode(d.job.Config.Runtime.Images)
	pods := cri.Config{
		Images: store, ImageMode: mode, Sharing: &cri.Sharing{},
		StateDir: filepath.Join(data, runtimeStateDir), RuntimeDir: d.job.RuntimeDir,
		AgentPath: d.job.Agent, BinDir: d.job.BinDir, PythonDir: pythonDir(d.job.Python),
		PodLogsDir: filepath.Join(data, logsDir, "pods"),
		Masks:      []string{d.job.DataDir, d.job.RuntimeDir},
		Neighbours: func() []string { return neighbours(d.job.RuntimeDir) },
		VolumeDirs: []string{filepath.Join(data, "volumes"), devices.PodDir(filepath.Join(data, gpuDir))},
		APIAddress: d.cluster.APIAddress(), NodeIP: d.cluster.NodeIP().String(),
		Logger: d.log.With("component", "runtime"), Clock: d.clock,
	}
	if d.network != nil {
		pods.Network, pods.Admit = d.network.pods, d.cluster.AdmitPod
	}
	if d.pods, err = cri.New(pods); err != nil {
		return err
	}
	err = d.buildWorkers(pods)
	d.ports.sources = d.runtimes()
	d.images = &imageServer{pods: d.pods, store: store, mode: mode, socket: filepath.Join(d.job.RuntimeDir, imageSocket)}
	return err
}

func pythonDir(python string) string {
	if python == "" {
		return ""
	}
	return filepath.Dir(python)
}

// start brings everything up; the platform's part runs beside Kubernetes' as
// soon as the API server answers.
func (d *daemon) start(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found, err := d.startRuntimes(ctx)
	if err != nil {
		return err
	}
	if err := d.images.Start(ctx); err != nil {
		return err
	}
	d.tellTakenOver(found)
	if d.gpus != nil {
		if err := d.gpus.Start(ctx); err != nil {
			return err
		}
	}
	apiReady := d.onAPI()
	platform := make(chan error, 1)
	go func() {
		err := d.startPlatform(ctx, apiReady)
		if err != nil {
			cancel(err)
		}
		platform <- err
	}()
	d.setPhase(phaseKubernetes)
	former := d.endFormerNodes(ctx)
	if err := d.cluster.Start(ctx); err != nil {
		cancel(err)
		if cause := ignoreCanceled(<-platform); cause != nil {
			return cause // it failed first and ended the start of the cluster
		}
		return err
	}
	err = d.attachGPUs(ctx)
	if err == nil {
		err = d.forgetFormerNodes(ctx, former)
	}
	if err != nil {
		cancel(err)
		<-platform //nolint:errcheck // It was ended by us.
		return err
	}
	if err := d.cluster.WriteKubeconfig(filepath.Join(d.job.DataDir, kubeconfigFile)); err != nil {
		return err
	}
	return <-platform
}
