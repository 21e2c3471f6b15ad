//go:build linux

package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/kubernetes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/worker"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/text"
)

const (
	// nodesDir has the state of all nodes but the first, in folders named by their numbers.
	nodesDir = "nodes"
	// stopFormer is how long pods of a node get that is there no more.
	stopFormer = 20 * time.Second
	// envWorkerLogs tells the process of a node how to log.
	envWorkerLogs = "KIWERK_NODE_LOGS"
	// askRuntime bounds a question that only the words of an event depend on.
	askRuntime = time.Second
)

// workerNode is a node beside the first one. Its container runtime is in this process, its kubelet is not.
type workerNode struct {
	number int
	// former is one that the last start had and this one has not.
	former bool
	pods   *cri.Server
}

// nodeDir is where a node of a data directory has its state.
func nodeDir(dataDir string, number int, names ...string) string {
	return filepath.Join(append([]string{dataDir, nodesDir, strconv.Itoa(number)}, names...)...)
}

// runtimeStateOf is the state directory of a node's container runtime; the first node is 1.
func runtimeStateOf(dataDir string, number int) string {
	if number == 1 {
		return filepath.Join(dataDir, runtimeStateDir)
	}
	return nodeDir(dataDir, number, runtimeStateDir)
}

// runtimeStates are those of all nodes that a data directory has.
func runtimeStates(dataDir string) []string {
	list := []string{runtimeStateOf(dataDir, 1)}
	for _, number := range nodeNumbers(dataDir) {
		list = append(list, runtimeStateOf(dataDir, number))
	}
	return list
}

// nodeNumbers are the nodes that have state in a data directory, but the first.
func nodeNumbers(dataDir string) []int {
	entries, err := os.ReadDir(filepath.Join(dataDir, nodesDir))
	if err != nil {
		return nil // none was made
	}
	var list []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n >= 2 && n <= config.MaxNodes && e.IsDir() {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// planWorkers decides which nodes there are beside the first: those wanted, and
// those that have state of a start that wanted more.
func planWorkers(wanted int, have []int) []workerNode {
	var list []workerNode
	for number := 2; number <= wanted; number++ {
		list = append(list, workerNode{number: number})
	}
	for _, number := range have {
		if number > wanted {
			list = append(list, workerNode{number: number, former: true})
		}
	}
	return list
}

func (d *daemon) workerRuntimeDir(number int) string {
	return filepath.Join(d.job.RuntimeDir, strconv.Itoa(number))
}

// kubeletDirOf is where a further node's kubelet has its state for itself and for the runtime: paths of sockets must be short.
func kubeletDirOf(number int) string {
	return filepath.Join(rootfs.KubeletDir, nodesDir, strconv.Itoa(number))
}

// clusterWorkers are the further nodes as the cluster sees them.
func (d *daemon) clusterWorkers() (list []cluster.Worker) {
	d.workers = planWorkers(d.job.Config.Runtime.Nodes, nodeNumbers(d.job.DataDir))
	for _, w := range d.workers {
		if w.former {
			continue
		}
		node := cluster.Worker{
			Number: w.number, KubeletDir: kubeletDirOf(w.number), PodLogsDir: nodeDir(d.job.DataDir, w.number, logsDir),
			RuntimeDir: d.workerRuntimeDir(w.number), CRISocket: filepath.Join(d.workerRuntimeDir(w.number), criSocket),
			Command: func() *exec.Cmd { return d.workerCommand(w.number) },
		}
		if d.network != nil {
			node.IP = network.NodeAddress(w.number).AsSlice()
		}
		list = append(list, node)
	}
	return list
}

// buildWorkers makes the container runtimes of the further nodes after that of the first.
func (d *daemon) buildWorkers(first cri.Config) (err error) {
	for i := range d.workers {
		w := &d.workers[i]
		cfg := first
		cfg.StateDir, cfg.RuntimeDir = runtimeStateOf(d.job.DataDir, w.number), d.workerRuntimeDir(w.number)
		cfg.PodLogsDir, cfg.KubeletDir = nodeDir(d.job.DataDir, w.number, logsDir), kubeletDirOf(w.number)
		cfg.VolumeDirs = []string{filepath.Join(d.job.DataDir, "volumes")}
		if d.network != nil {
			cfg.Network, cfg.NodeIP = d.network.pods.Node(w.number), network.NodeAddress(w.number).String()
		}
		if w.pods, err = cri.New(cfg); err != nil {
			return err
		}
	}
	return nil
}

// runtimes are those of all nodes, the first one first.
func (d *daemon) runtimes() []*cri.Server {
	if d.pods == nil {
		return nil
	}
	list := []*cri.Server{d.pods}
	for _, w := range d.workers {
		if w.pods != nil {
			list = append(list, w.pods)
		}
	}
	return list
}

// startRuntimes starts them and tells what they have found together.
func (d *daemon) startRuntimes(ctx context.Context) (found cri.TakenOver, err error) {
	for _, w := range d.workers {
		if err := worker.Share(nodeDir(d.job.DataDir, w.number, "kubelet"), kubeletDirOf(w.number)); err != nil {
			return found, err
		}
	}
	for _, r := range d.runtimes() {
		if err := r.Start(ctx); err != nil {
			return found, err
		}
		found.Adopted += r.TakenOver().Adopted
		found.Lost += r.TakenOver().Lost
	}
	return found, nil
}

// eachRuntime does something with all at the same time.
func eachRuntime(list []*cri.Server, do func(*cri.Server) error) error {
	errs := make([]error, len(list))
	var tasks sync.WaitGroup
	for i, r := range list {
		tasks.Go(func() { errs[i] = do(r) })
	}
	tasks.Wait()
	return errors.Join(errs...)
}

// workerCommand makes the process of a node.
func (d *daemon) workerCommand(number int) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	logs, err := json.Marshal(workerLogs{d.workerLog(number), d.job.Config.Logs})
	if err != nil {
		cmd.Err = err
	}
	cmd.Args, cmd.Dir = []string{"kiwerk", "internal", "node"}, "/"
	cmd.Env = append(os.Environ(), envWorkerLogs+"="+string(logs))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // where a process that panics says so
	return cmd
}

func (d *daemon) workerLog(number int) string {
	return filepath.Join(d.job.DataDir, logsDir, fmt.Sprintf("node-%d.log", number))
}

type workerLogs struct {
	File string
	Logs config.Logs
}

// runWorker is `kiwerk internal node`. When the daemon ends it does, too: pods live on.
func runWorker(ctx context.Context, in io.Reader, getenv func(string) string) error {
	var logs workerLogs
	job, err := worker.ReadJob(in, func() { os.Exit(0) })
	if err == nil {
		err = json.Unmarshal([]byte(getenv(envWorkerLogs)), &logs)
	}
	if err != nil {
		return err
	}
	out := logFile(logs.File, logs.Logs)
	defer out.Close()
	log := newLogger(out, logs.Logs.Level).With("node", job.NodeName)
	conn, err := grpc.NewClient("unix://"+job.CRISocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("container runtime of node %s: %w", job.NodeName, err)
	}
	defer conn.Close()
	served := func(image string) (string, bool) { return servedBy(ctx, runtimeapi.NewImageServiceClient(conn), image) }
	if err = worker.Run(ctx, job, served, kubernetesLogger(log, logs.Logs.Level)); err != nil {
		log.Error("the node failed", "error", err)
	}
	return err
}

// servedBy asks the container runtime, which is in the daemon, what serves for an image.
func servedBy(ctx context.Context, images runtimeapi.ImageServiceClient, name string) (what string, oci bool) {
	ctx, cancel := context.WithTimeout(ctx, askRuntime)
	defer cancel()
	resp, err := images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: name}, Verbose: true})
	if err != nil || resp.GetImage() == nil {
		return "", true
	}
	return resp.GetInfo()[cri.InfoTaken], resp.GetInfo()[cri.InfoOCI] == "true"
}

// endFormerNodes stops what still runs on nodes that are there no more, while the cluster starts.
func (d *daemon) endFormerNodes(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		var errs []error
		for _, w := range d.workers {
			if w.former {
				errs = append(errs, d.endNode(ctx, w))
			}
		}
		done <- errors.Join(errs...)
	}()
	return done
}

func (d *daemon) endNode(ctx context.Context, w workerNode) error {
	grace, cancel := context.WithTimeout(ctx, stopFormer)
	defer cancel()
	err := w.pods.StopContainers(grace)
	if d.network != nil {
		_, lost := d.network.pods.Node(w.number).Keep(ctx, nil)
		err = errors.Join(err, lost)
	}
	if err != nil {
		return fmt.Errorf("end the pods of node %d: %w", w.number, err)
	}
	return nil
}

// forgetFormerNodes removes nodes that are there no more from the API, with
// their pods, and then their state: a crash in between is made good by the next start.
func (d *daemon) forgetFormerNodes(ctx context.Context, ended <-chan error) error {
	if err := <-ended; err != nil {
		return err
	}
	var names []string
	for _, w := range d.workers {
		if w.former {
			names = append(names, d.cluster.WorkerName(w.number))
		}
	}
	if len(names) == 0 {
		return nil
	}
	client, err := kubernetes.NewForConfig(d.cluster.RESTConfig())
	if err != nil {
		return err
	}
	pods, err := dropNodes(ctx, client, names)
	if err != nil {
		return fmt.Errorf("remove nodes %s: %w", strings.Join(names, ", "), err)
	}
	for _, w := range d.workers {
		if w.former {
			if err := d.dropNodeState(ctx, w); err != nil {
				return err
			}
		}
	}
	d.workers = slices.DeleteFunc(d.workers, func(w workerNode) bool { return w.former })
	say := wireSentence(text.S(text.UpDetailNodesGone, strings.Join(names, ", "), pods))
	if err := d.control.Send(event{Kind: eventPhase, Phase: phaseNode, Say: &say, Took: time.Since(d.begun)}); err != nil {
		d.log.Warn("the launcher does not listen", "error", err)
	}
	return nil
}

func (d *daemon) dropNodeState(ctx context.Context, w workerNode) error {
	at := kubeletDirOf(w.number)
	if err := errors.Join(w.pods.Stop(ctx), worker.Unshare(at)); err != nil {
		return fmt.Errorf("remove node %d: %w", w.number, err)
	}
	err := errors.Join(os.RemoveAll(d.workerRuntimeDir(w.number)), os.RemoveAll(nodeDir(d.job.DataDir, w.number)), os.RemoveAll(at))
	if err != nil {
		return fmt.Errorf("remove node %d: %w", w.number, err)
	}
	return nil
}
