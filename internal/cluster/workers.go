package cluster

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/kiwerk/kiwerk/internal/cluster/kubelet"
	"github.com/kiwerk/kiwerk/internal/cluster/node"
	"github.com/kiwerk/kiwerk/internal/cluster/pki"
	"github.com/kiwerk/kiwerk/internal/cluster/services"
	"github.com/kiwerk/kiwerk/internal/cluster/worker"
)

// workers are the processes of further kubelets.
type workers struct {
	mu    sync.Mutex
	list  []*worker.Process
	first chan error
}

func (w *workers) add(p *worker.Process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, p)
	go func() {
		if err, ok := <-p.Failed(); ok {
			select {
			case w.failed() <- err:
			default: // the first one counts
			}
		}
	}()
}

// failed delivers why a kubelet did not start.
func (w *workers) failed() chan error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = make(chan error, 1)
	}
	return w.first
}

func (w *workers) setReady() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.list {
		p.SetReady()
	}
}

func (w *workers) stop() {
	w.mu.Lock()
	list := w.list
	w.mu.Unlock()
	for _, p := range list {
		p.Stop()
	}
}

// NodeNames are the names of all nodes that have a kubelet, the first one first.
func (c *Cluster) NodeNames() []string {
	names := []string{c.cfg.NodeName}
	for _, w := range c.cfg.Workers {
		names = append(names, c.WorkerName(w.Number))
	}
	return names
}

// WorkerName is the name of a node, which are counted from 1.
func (c *Cluster) WorkerName(number int) string { return workerName(c.cfg.NodeName, number) }

func workerName(first string, number int) string {
	if number == 1 {
		return first
	}
	suffix := "-" + strconv.Itoa(number)
	return first[:min(len(first), maxNodeName-len(suffix))] + suffix
}

// kubeletPort is what a node's object says, by which the API server finds its kubelet.
func kubeletPort(number int) int32 {
	const usual = 10250
	return usual - 1 + int32(number) //nolint:gosec // Nodes are few.
}

// dialKubelet connects to the kubelet that the port stands for, whatever the host.
func (c *Cluster) dialKubelet(ctx context.Context, _, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	if port == strconv.Itoa(int(kubeletPort(1))) {
		return kubelet.Dial(ctx, c.cfg.RuntimeDir)
	}
	for _, w := range c.cfg.Workers {
		if port == strconv.Itoa(int(kubeletPort(w.Number))) {
			return kubelet.Dial(ctx, w.RuntimeDir)
		}
	}
	return nil, fmt.Errorf("no kubelet of this cluster is at %s: its node was removed or the address is not a kubelet's", address)
}

func (c *Cluster) workerIP(w Worker) net.IP {
	if w.IP == nil {
		return c.nodeIP
	}
	return w.IP
}

func (c *Cluster) workerCertificates() (list []pki.Worker) {
	for _, w := range c.cfg.Workers {
		list = append(list, pki.Worker{Name: c.WorkerName(w.Number), IPs: []net.IP{c.workerIP(w)}})
	}
	return list
}

// startWorkers makes the further nodes and starts their kubelets.
func (c *Cluster) startWorkers(ctx context.Context) error {
	for _, w := range c.cfg.Workers {
		if err := node.Ensure(ctx, c.api.Client("kiwerk-node"), c.WorkerName(w.Number), c.workerIP(w)); err != nil {
			return err
		}
		c.workers.add(worker.Start(ctx, worker.Config{Job: c.jobOf(w), Command: w.Command, Logger: c.cfg.Logger.With("component", "nodes"), Clock: c.cfg.Clock}))
	}
	return nil
}

func (c *Cluster) jobOf(w Worker) worker.Job {
	name := c.WorkerName(w.Number)
	serving, client := c.certs.Worker(name)
	job := worker.Job{
		NodeName: name, Port: kubeletPort(w.Number), APIServer: "https://" + c.address,
		CAFile: c.certs.CAFile(), Client: client, Serving: serving, Gates: c.gates(),
		KubeletDir: w.KubeletDir, PodLogsDir: w.PodLogsDir, RuntimeDir: w.RuntimeDir, CRISocket: w.CRISocket,
		ResolvConf: c.resolvConf(), ClusterDomain: services.Domain,
	}
	if c.cfg.Node != nil {
		job.ClusterDNS = []string{services.DNS.String()}
	}
	return job
}
