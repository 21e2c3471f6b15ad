//go:build linux

package cri

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// sandbox is a pod as the runtime sees it. The fields are its record on disk;
// they change only under Server.mu.
type sandbox struct {
	ID                   string
	Name, Namespace, UID string
	Attempt              uint32
	Labels, Annotations  map[string]string
	Hostname             string
	LogDirectory         string
	ResolvConf           string `json:",omitempty"`
	CreatedAt            time.Time
	Ready                bool
	// Port was chosen for the pod where it has no network of its own.
	Port int `json:",omitempty"`
	// IP and NetNS are the address and the namespace of its own network.
	IP    string `json:",omitempty"`
	NetNS string `json:",omitempty"`
	// Network is what the pod asked for. Where pods share the host's network in any
	// case, the kubelet still starts a pod anew whose status says otherwise than its specification.
	Network runtimeapi.NamespaceMode
	// IPCSysctls are set in the IPC namespace when that is made, see makePodIPC.
	IPCSysctls map[string]string `json:",omitempty"`
	// SharedPIDs says that the containers live in one pid namespace, see startPod.
	SharedPIDs bool `json:",omitempty"`
	// Holder names the namespaces in which the pod was made.
	Holder string `json:",omitempty"`
	// Group is the directory of its cgroup below the tree; empty is the ID, as earlier versions had it.
	Group string `json:",omitempty"`
	// Limits are those of the pod as a whole.
	Limits cgroup.Limits `json:",omitzero"`
}

// group is the name of the pod's cgroup. It has the pod's UID in it, by which
// tools look for it, and the sandbox, as a pod may get a second one.
func (b *sandbox) group() string {
	if b.Group == "" {
		return b.ID
	}
	return b.Group
}

func (b *sandbox) port() Port {
	return Port{Namespace: b.Namespace, Name: b.Name, UID: b.UID, Port: b.Port}
}

// record is container.json.
type record struct {
	ID, SandboxID       string
	Name                string
	Attempt             uint32
	Image               string // as the pod names it
	Taken               Taken
	Labels, Annotations map[string]string
	Mounts              []mountRecord
	CreatedAt           time.Time
	Spec                shim.Spec
	StopSignal          int32
	Limits              cgroup.Limits
}

type mountRecord struct {
	Source, Dest string
	ReadOnly     bool
	Propagation  int32
	Image        string `json:",omitempty"` // its id
}

// container is one container with what is known of its process.
type container struct {
	record

	mu      sync.Mutex
	running *shim.Running
	exit    *shim.Exit
	started time.Time
	ended   chan struct{} // closed with exit
	removed bool
	lost    bool // its holder is gone; set before it is followed
}

func newContainer(r record) *container {
	return &container{record: r, ended: make(chan struct{})}
}

// view is how a container stood at one moment.
type view struct {
	state     runtimeapi.ContainerState
	running   *shim.Running // while it runs
	exit      *shim.Exit    // once it has ended
	started   time.Time
	resources *runtimeapi.ContainerResources
}

// look returns a consistent view.
func (c *container) look() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := view{exit: c.exit, started: c.started, resources: c.resourcesOf(), state: runtimeapi.ContainerState_CONTAINER_CREATED}
	switch {
	case c.exit != nil:
		v.state = runtimeapi.ContainerState_CONTAINER_EXITED
	case c.running != nil:
		v.state, v.running = runtimeapi.ContainerState_CONTAINER_RUNNING, c.running
	}
	return v
}

func (s *Server) sandboxDir() string { return filepath.Join(s.cfg.StateDir, "sandboxes") }

func (s *Server) containerDir(id string) string {
	return filepath.Join(s.cfg.StateDir, "containers", id)
}

func (s *Server) socketDir() string { return filepath.Join(s.cfg.RuntimeDir, "c") }

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (s *Server) saveSandbox(b *sandbox) error {
	return writeRecord(filepath.Join(s.sandboxDir(), b.ID+".json"), b)
}

func (s *Server) saveContainer(c *container) error {
	return writeRecord(filepath.Join(s.containerDir(c.ID), "container.json"), c.record)
}

// writeRecord replaces a file in one step. It does not wait for the disk, as each
// start of a container would: a power cut may leave the record empty, which load
// takes for a container that has ended.
func writeRecord(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readRecord(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// load reads the records of an earlier daemon and adopts what still runs.
func (s *Server) load(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(s.sandboxDir(), "*.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		var b sandbox
		if err := readRecord(f, &b); err != nil {
			s.log.Warn("skip unreadable record of a pod", "error", err)
			continue
		}
		s.sandboxes[b.ID] = &b
		if err := s.settle(&b); err != nil {
			return fmt.Errorf("pod %s/%s: %w", b.Namespace, b.Name, err)
		}
		if err := s.adoptPod(&b); err != nil {
			return fmt.Errorf("pod %s/%s: %w", b.Namespace, b.Name, err)
		}
	}
	if err := s.adoptNetworks(ctx); err != nil {
		return err
	}
	dirs, err := os.ReadDir(s.containerDir(""))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := s.loadContainer(ctx, d.Name()); err != nil {
			return fmt.Errorf("container %s: %w", d.Name(), err)
		}
	}
	return nil
}

func (s *Server) loadContainer(ctx context.Context, id string) error {
	dir := s.containerDir(id)
	var r record
	if err := readRecord(filepath.Join(dir, "container.json"), &r); err != nil {
		// The daemon ended between making the directory and the record, or a disk
		// has lost it: nobody knows of the container, nor may one run on unknown.
		s.log.Warn("remove container without a record", "container", id, "error", err)
		if err := shim.End(ctx, dir); err != nil {
			// By its directory the next start finds it again; the others must not wait for that.
			s.log.Error("a container without a record runs on", "container", id, "error", err)
			return nil
		}
		return os.RemoveAll(dir)
	}
	c := newContainer(r)
	s.containers[id] = c
	running, err := shim.Adopt(ctx, dir)
	switch {
	case err == nil:
		return s.adopt(c, running)
	case !errors.Is(err, shim.ErrGone):
		return err
	case errors.Is(err, shim.ErrEnded):
		s.log.Warn("a running container was ended", "container", id, "name", c.Name, "error", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "spec.json")); errors.Is(err, os.ErrNotExist) {
		return nil // created, never started
	}
	if err := s.finished(c); err != nil {
		// As after a power cut. finished has marked it as ended, and the kubelet goes on by the pod's restart policy.
		s.log.Warn("the records of a container are damaged", "container", id, "name", c.Name, "error", err)
	}
	return nil
}

// adopt takes over a living shim, unless it belongs to a holder that is gone:
// then new mounts, such as rotated tokens, cannot reach its container.
func (s *Server) adopt(c *container, running *shim.Running) error {
	ns, _, _ := strings.Cut(s.holder, " ")
	c.running, c.started = running, running.State().StartedAt
	c.lost = running.State().MountNS != ns
	c.Spec.Cgroup = running.Cgroup()
	s.tasks.Go(func() { s.follow(c) })
	if !c.lost {
		s.found.Adopted++
		s.log.Info("adopted container", "container", c.ID, "name", c.Name, "pid", running.State().InitPID)
		return nil
	}
	s.log.Warn("stop container of a lost holder", "container", c.ID, "name", c.Name)
	if err := running.Kill(); err != nil && !errors.Is(err, shim.ErrGone) {
		return err
	}
	return nil
}
