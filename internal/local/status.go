//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/procnet"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/text"
)

// askTimeout bounds one question of status.
const askTimeout = 5 * time.Second

// status looks from outside: it works while the platform starts, and after it has been killed.
func status(ctx context.Context, s cli.Session, getenv func(string) string) (*cli.Status, error) {
	var v versions
	err := readJSON(filepath.Join(s.DataDir, versionsFile), &v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unknownData(ctx, s, getenv, "kiwerk up --data-dir "+s.DataDir)
	}
	if err != nil {
		return nil, versionsDamaged(s.DataDir, err)
	}
	out := &cli.Status{
		State: cli.StateStopped, DataDir: s.DataDir,
		Versions: map[string]string{"kiwerk": v.Version, "kubernetes": v.Kubernetes},
		Notes:    append(machineNotes(), limitNotes(s.DataDir)...),
	}
	containers := readContainers(s.DataDir)
	run, err := readRun(s.DataDir)
	if err != nil || !launcherLives(s.DataDir, getenv) {
		if out.Containers = running(containers); out.Containers > 0 {
			out.State = cli.StateLost
		}
		out.Notes = append(out.Notes, leftNotes(ctx, out.State, s.DataDir, getenv)...)
		return out, nil
	}
	out.Started = &run.Started
	out.Addresses = map[string]string{
		"platform": run.URL, "kubernetes API": "https://" + run.APIServer, "kubeconfig": run.Kubeconfig,
	}
	out.Network = run.Network.status()
	if !run.Network.Pods {
		out.Notes = append(out.Notes,
			note("PodsShareTheHostNetwork", text.NoteHostNetwork, run.Network.why()),
			note("NetworkPolicyNotEnforced", text.NoteNetworkPolicy))
	}
	if run.Remembered {
		_, port, _ := net.SplitHostPort(run.Address) // as it was opened
		out.Notes = append(out.Notes, note("PortRemembered", text.NoteListen, port, config.DefaultListen))
	}
	out.Processes = map[string]int{"launcher": run.Launcher, "daemon": run.Daemon}
	if out.State, out.Phase = health(ctx, run); out.State != cli.StateReady {
		return out, nil
	}
	out.Notes = append(out.Notes, addressNotes(containers, run)...)
	out.Listeners = podListeners(containers)
	for _, l := range out.Listeners {
		if l.Open {
			out.Notes = append(out.Notes, note("PortOpen", text.NoteOpenPort, l.Pod, l.Address))
		}
	}
	nodes, err := listNodes(ctx, s)
	if err != nil {
		return nil, err
	}
	out.Nodes = slices.DeleteFunc(nodes.Items, func(n cli.NodeStatus) bool { return n.Simulated })
	out.Pods, err = pods(ctx, run.Kubeconfig, containers)
	return out, err
}

func note(reason string, key text.Key, args ...any) cli.Note {
	return cli.Note{Reason: reason, Message: text.S(key, args...)}
}

// machineNotes are what this machine cannot enforce.
func machineNotes() []cli.Note {
	notes := []cli.Note{
		note("SharedKernel", text.NoteSharedKernel),
	}
	if os.Geteuid() == 0 {
		notes = append(notes, note("StartedAsRoot", text.NoteRoot))
	}
	return notes
}

// limitNotes tells of a runtime that found no place for cgroups.
func limitNotes(dataDir string) []cli.Note {
	if g, err := cgroup.Saved(filepath.Join(dataDir, runtimeStateDir, cri.CgroupsFile)); err == nil && g != nil {
		return nil
	}
	return []cli.Note{note("LimitsNotEnforced", text.NoteNoLimits)}
}

func launcherLives(dataDir string, getenv func(string) string) bool {
	rt, err := runtimeDir(dataDir, getenv)
	if err != nil {
		return false
	}
	c, err := fdsock.Dial(filepath.Join(rt, commandSocket))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func health(ctx context.Context, run runState) (state, phase string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, run.URL+"/health", http.NoBody)
	if err != nil {
		return cli.StateStarting, err.Error()
	}
	c, err := run.client()
	if err != nil {
		return cli.StateStarting, err.Error()
	}
	resp, err := c.Do(req)
	if err != nil {
		return cli.StateStarting, err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return cli.StateReady, ""
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 256))
	if err != nil {
		return cli.StateStarting, err.Error()
	}
	return cli.StateStarting, strings.TrimSpace(string(b))
}

// pods lists what Kubernetes knows, with what ran in place of the images.
func pods(ctx context.Context, kubeconfig string, containers []containerRecord) ([]cli.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	list, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	taken := map[string]map[string]bool{}
	for _, c := range containers {
		if taken[c.key()] == nil {
			taken[c.key()] = map[string]bool{}
		}
		taken[c.key()][c.Image+" → "+c.Taken.What] = true
	}
	var out []cli.Pod
	for i := range list.Items {
		p := &list.Items[i]
		out = append(out, cli.Pod{
			Namespace: p.Namespace, Name: p.Name, Phase: podPhase(p), Port: p.Annotations[kube.PortAnnotation],
			Image: strings.Join(slices.Sorted(maps.Keys(taken[p.Namespace+"/"+p.Name])), "; "),
		})
	}
	return out, nil
}

func podPhase(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "Terminating"
	}
	return string(p.Status.Phase)
}

// podListeners finds ports of the host that processes of containers listen on.
func podListeners(containers []containerRecord) []cli.Listener {
	byShim := map[int]containerRecord{}
	for _, c := range containers {
		if c.shim > 0 {
			byShim[c.shim] = c
		}
	}
	if len(byShim) == 0 {
		return nil
	}
	var out []cli.Listener
	for _, l := range procnet.Listening("/proc/net") {
		pid, name := procnet.Owner(l.Inode)
		if pid == 0 {
			continue
		}
		if c, ok := containerOf(pid, byShim, parentOf); ok {
			out = append(out, cli.Listener{Pod: c.key(), Address: l.Address.String(), Process: name, PID: pid, Open: !l.Address.Addr().IsLoopback()})
		}
	}
	return out
}
