package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/kubelet"
	"github.com/kiwerk/kiwerk/internal/cluster/node"
	"github.com/kiwerk/kiwerk/internal/cluster/publish"
)

const (
	// DefaultKubeletDir is where the kubelet keeps its state. The device manager
	// has the path built in, so the holder binds DataDir/kubelet over it in the
	// cluster's own mount namespace.
	DefaultKubeletDir = "/var/lib/kubelet"

	defaultNodeName = "kiwerk"
	maxSocketPath   = 107
	longestSocket   = "kubelet.sock"
	maxNodeName     = 63
	privateDir      = 0o700
)

// Config of a [Cluster].
type Config struct {
	// DataDir is what survives: etcd, certificates, kubelet state, volumes.
	DataDir string
	// RuntimeDir is a short 0700 folder for sockets.
	RuntimeDir string
	// APIListener was opened by the launcher on 127.0.0.1; nil picks a free loopback port.
	APIListener net.Listener
	// Node is the node's own network; nil if pods share the host's.
	Node *NodeNetwork
	// CRISocket is the path of the container runtime; "" runs the control plane only: no kubelet, no node.
	CRISocket string
	// NodeName is the name of the first node; "" derives it from the host's name.
	NodeName string
	// Workers are further nodes, whose kubelets are processes of their own.
	Workers []Worker
	// KubeletDir is where the kubelet finds its state, DefaultKubeletDir by default.
	KubeletDir string
	// PodLogsDir is DataDir/logs/pods by default.
	PodLogsDir string
	// VolumesDir is where the local provisioner makes volumes, DataDir/volumes by default.
	VolumesDir string
	// Ports, if set, tells which loopback port the runtime gave to a pod.
	Ports node.PortSource
	// Served, if set, tells what the runtime takes for an image name.
	Served kubelet.Served
	// Logger gets what the components say. It must not write to the terminal.
	Logger *slog.Logger
	// Phase, if set, hears how long each step of the start took.
	Phase func(name string, d time.Duration)
	// Clock is the real one by default.
	Clock clock.WithTicker
}

// NodeNetwork is a network in which this process and the pods are, but not the host's users.
type NodeNetwork struct {
	// IP is the address of the node, which the API server is published under.
	IP net.IP
	// APIListener takes connections of pods and of this process. Its port is that
	// of [Config.APIListener], and loopback is among its addresses.
	APIListener net.Listener
	// Host makes sockets in the host's network, on which Services are published.
	Host publish.Host
	// ResolvConf is what pods get that do not ask for cluster DNS.
	ResolvConf string
}

// Worker is a node beside the first one, with a container runtime of its own.
type Worker struct {
	// Number of the node, from 2 on; its name follows from it.
	Number int
	// IP is its address in the node's own network; nil is that of the first node.
	IP net.IP
	// KubeletDir is made by worker.Share.
	KubeletDir, PodLogsDir, RuntimeDir, CRISocket string
	// Command makes the process that runs worker.Run.
	Command func() *exec.Cmd
}

var notDNS = regexp.MustCompile(`[^a-z0-9-]+`)

// complete fills in defaults and reports every problem.
func (c Config) complete() (Config, error) {
	var errs []error
	problem := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !filepath.IsAbs(c.DataDir) {
		problem("data directory %q is not an absolute path", c.DataDir)
	}
	if !filepath.IsAbs(c.RuntimeDir) {
		problem("runtime directory %q is not an absolute path", c.RuntimeDir)
	}
	if l := len(filepath.Join(c.RuntimeDir, longestSocket)); l > maxSocketPath {
		problem("runtime directory %q is too long for unix sockets: a path of %d bytes, at most %d are possible", c.RuntimeDir, l, maxSocketPath)
	}
	if c.APIListener != nil && !isLoopback(c.APIListener.Addr()) {
		problem("the API server listens on %s, which is not a loopback address", c.APIListener.Addr())
	}
	if c.Node != nil && (c.APIListener == nil || portOf(c.Node.APIListener) != portOf(c.APIListener)) {
		problem("the API server needs listeners with the same port in both networks")
	}
	if len(c.Workers) > 0 && c.CRISocket == "" {
		problem("further nodes need a first one")
	}
	if c.Logger == nil {
		problem("no logger given")
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.NodeName == "" {
		c.NodeName = hostNodeName()
	}
	setDefault(&c.KubeletDir, DefaultKubeletDir)
	setDefault(&c.PodLogsDir, filepath.Join(c.DataDir, "logs", "pods"))
	setDefault(&c.VolumesDir, filepath.Join(c.DataDir, "volumes"))
	return c, errors.Join(errs...)
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func portOf(l net.Listener) int {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// hostNodeName makes a valid node name of the host's.
func hostNodeName() string {
	name, err := os.Hostname()
	if err != nil {
		return defaultNodeName
	}
	return nodeName(name)
}

// nodeName is the first label of a host name as Kubernetes allows it.
func nodeName(host string) string {
	name, _, _ := strings.Cut(strings.ToLower(host), ".")
	name = notDNS.ReplaceAllString(name, "-")
	name = strings.Trim(name[:min(len(name), maxNodeName)], "-")
	if name == "" {
		return defaultNodeName
	}
	return name
}
