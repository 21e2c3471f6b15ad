package devices

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/sharing"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/simulate"
)

const (
	// lookEvery is how old metrics and health may be.
	lookEvery = 2 * time.Second
	// settle is how long after an allocation its pod is looked for.
	settle = time.Minute
	// DriverPatience is what a driver may take that has to wake its devices up first.
	DriverPatience = 30 * time.Second

	privateDir = 0o700
	publicDir  = 0o755
	stateFile  = "state.json"
)

// Config of a [Manager]. All but Simulated and DevDir are required.
type Config struct {
	Driver gpu.Driver
	// Simulated is Driver if that is a simulated one.
	Simulated *simulate.Driver
	Sharing   sharing.Config
	// KubeletDir is the kubelet's root directory.
	KubeletDir string
	// StateDir is ours; what pods of simulated GPUs may read lies in StateDir/pods.
	StateDir string
	NodeName string
	// HostRoot is "/" but in tests: device files are looked for below it.
	HostRoot string
	Logger   *slog.Logger
	Clock    clock.WithTicker
}

// PodDir is the folder below a state directory that pods of simulated GPUs may read.
func PodDir(stateDir string) string { return filepath.Join(stateDir, "pods") }

// Manager owns the node's GPUs.
type Manager struct {
	cfg       Config
	system    gpu.System
	resources []gpu.Resource
	plugins   []*plugin

	mu      sync.Mutex
	health  map[string]gpu.Health // by UUID
	samples []gpu.Sample
	holders []Holder
	xids    map[string]uint64
	// until is when to stop looking for the pod of an allocation.
	until  time.Time
	client kubernetes.Interface
	wrote  []byte

	cancel context.CancelFunc
	tasks  sync.WaitGroup
	look   chan struct{}
}

// New reads what the driver has and decides what is offered.
func New(ctx context.Context, cfg Config) (*Manager, error) {
	if cfg.HostRoot == "" {
		cfg.HostRoot = "/"
	}
	system, err := cfg.Driver.System(ctx)
	if err != nil {
		return nil, fmt.Errorf("GPUs: %w", err)
	}
	if cfg.Sharing.Policy.Sharing.Strategy == gpu.ShareMPS && !system.Simulated {
		return nil, errors.New("GPUs: sharing.mps of real GPUs is not built yet, only of simulated ones; use sharing.timeSlicing")
	}
	resources, err := gpu.Partition(system, cfg.Sharing.Policy)
	if err != nil {
		return nil, fmt.Errorf("GPUs: %w", err)
	}
	m := &Manager{
		cfg: cfg, system: system, resources: resources, health: map[string]gpu.Health{}, xids: map[string]uint64{}, look: make(chan struct{}, 1),
	}
	for _, r := range resources {
		m.plugins = append(m.plugins, newPlugin(m, r))
	}
	return m, nil
}

// System is what the node has.
func (m *Manager) System() gpu.System { return m.system }

// Init makes the folders.
func (m *Manager) Init(context.Context) error {
	err := errors.Join(os.MkdirAll(m.cfg.StateDir, privateDir), os.MkdirAll(m.registry(), privateDir))
	if err == nil && m.system.Simulated {
		err = errors.Join(os.MkdirAll(PodDir(m.cfg.StateDir), publicDir), os.Chmod(PodDir(m.cfg.StateDir), publicDir))
	}
	if err != nil {
		return fmt.Errorf("GPUs: %w", err)
	}
	return nil
}

// registry is where the kubelet looks for plugins.
func (m *Manager) registry() string { return filepath.Join(m.cfg.KubeletDir, "plugins_registry") }

// socketPrefix marks our sockets among others.
const socketPrefix = "kiwerk-gpu-"

func (m *Manager) socket(resource string) string {
	return filepath.Join(m.registry(), socketPrefix+strings.ReplaceAll(strings.TrimPrefix(resource, gpu.LabelPrefix), "/", "-")+".sock")
}

// Start serves the plugins; the kubelet may start before or after.
func (m *Manager) Start(ctx context.Context) error {
	if err := m.Init(ctx); err != nil {
		return err
	}
	stale, err := filepath.Glob(filepath.Join(m.registry(), socketPrefix+"*"))
	if err != nil {
		return err
	}
	for _, s := range stale { // of a daemon that was killed
		if err := os.Remove(s); err != nil {
			return fmt.Errorf("GPUs: %w", err)
		}
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.observe(run)
	for _, p := range m.plugins {
		if err := p.start(&m.tasks); err != nil {
			return errors.Join(fmt.Errorf("GPUs: %w", err), m.Stop(ctx))
		}
	}
	m.tasks.Go(func() { m.run(run) })
	return nil
}

// Stop ends the plugins and closes the driver.
func (m *Manager) Stop(context.Context) error {
	if m.cancel == nil {
		return nil
	}
	m.cancel()
	for _, p := range m.plugins {
		p.stop()
	}
	err := m.cfg.Driver.Close()
	m.tasks.Wait()
	return err
}

// Attach gives the manager an API server: it labels the node and tells of failures in events.
func (m *Manager) Attach(ctx context.Context, cfg *rest.Config) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("GPUs: %w", err)
	}
	if err := setLabels(ctx, client, m.cfg.NodeName, gpu.Labels(m.system, m.cfg.Sharing.Policy, m.resources)); err != nil {
		return fmt.Errorf("GPUs: %w", err)
	}
	m.mu.Lock()
	m.client = client
	m.until = m.cfg.Clock.Now().Add(settle) // the kubelet learns of the pods of an earlier start after it has begun
	m.mu.Unlock()
	m.lookSoon()
	return nil
}

// run looks at the devices until ctx ends.
func (m *Manager) run(ctx context.Context) {
	ticker := m.cfg.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	events := m.cfg.Driver.Events()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			m.observe(ctx)
		case <-m.look:
			m.observe(ctx)
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			m.heard(ctx, e)
		}
	}
}

func (m *Manager) lookSoon() {
	select {
	case m.look <- struct{}{}:
	default: // a look is due anyway
	}
}

// heard takes in an error.
func (m *Manager) heard(ctx context.Context, e gpu.Event) {
	m.cfg.Logger.Warn("a GPU reports an error", "gpu", e.UUID, "instance", e.GI, "xid", e.XID)
	m.update(ctx, func(now time.Time) {
		for _, g := range m.system.GPUs {
			if e.UUID == "" || e.UUID == g.UUID {
				m.xids[g.UUID] = e.XID
				m.health[g.UUID] = m.health[g.UUID].After(e, now)
			}
		}
	})
}

// observe looks at every device, and at who holds which.
func (m *Manager) observe(ctx context.Context) {
	ask, cancel := context.WithTimeout(ctx, DriverPatience)
	defer cancel()
	samples, err := m.cfg.Driver.Samples(ask)
	if err != nil {
		if ctx.Err() == nil {
			m.cfg.Logger.Error("look at the GPUs", "error", err)
		}
		return
	}
	m.update(ctx, func(now time.Time) {
		m.samples = samples
		for _, s := range samples {
			m.health[s.UUID] = m.health[s.UUID].Seen(s, now)
		}
	})
	m.findHolders(ctx)
	if err := m.writeState(samples); err != nil {
		m.cfg.Logger.Error("state of simulated GPUs", "error", err)
	}
}

// update changes health and tells everyone of what became of it.
func (m *Manager) update(ctx context.Context, change func(now time.Time)) {
	m.mu.Lock()
	before := map[string]string{}
	for uuid, h := range m.health {
		before[uuid] = h.Reason
	}
	change(m.cfg.Clock.Now())
	var news []gpu.GPU
	for _, g := range m.system.GPUs {
		if before[g.UUID] != m.health[g.UUID].Reason {
			news = append(news, g)
		}
	}
	after := map[string]string{}
	for uuid, h := range m.health {
		after[uuid] = h.Reason
	}
	client := m.client
	m.mu.Unlock()
	if len(news) == 0 {
		return
	}
	for _, p := range m.plugins {
		p.changed()
	}
	for _, g := range news {
		m.cfg.Logger.Info("health of a GPU", "gpu", g.UUID, "index", g.Index, "reason", after[g.UUID])
		if client == nil {
			continue
		}
		if err := tell(ctx, client, m.cfg.NodeName, g, after[g.UUID], m.cfg.Clock.Now()); err != nil {
			m.cfg.Logger.Warn("event about a GPU", "error", err)
		}
	}
}

func (m *Manager) healthy(u gpu.Unit) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.system.GPUs, func(g gpu.GPU) bool { return g.Index == u.GPU })
	return i >= 0 && m.health[m.system.GPUs[i].UUID].Healthy(u.GI)
}

// writeState shows pods what their nvidia-smi prints. Nobody reads it while nobody holds a GPU.
func (m *Manager) writeState(samples []gpu.Sample) error {
	if !m.system.Simulated {
		return nil
	}
	m.mu.Lock()
	skip := m.wrote != nil && len(m.holders) == 0 && m.cfg.Clock.Now().After(m.until)
	m.mu.Unlock()
	if skip {
		return nil
	}
	data, err := json.Marshal(gpu.State{System: m.system, Samples: samples})
	if err != nil || slices.Equal(data, m.wrote) {
		return err
	}
	name := filepath.Join(PodDir(m.cfg.StateDir), stateFile)
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	m.wrote = data
	return nil
}

// Status is a GPU as `kiwerk gpu list` shows it.
type Status struct {
	Index       int            `json:"index"`
	UUID        string         `json:"uuid"`
	Name        string         `json:"name"`
	Memory      uint64         `json:"memoryMiB"`
	Used        uint64         `json:"usedMiB"`
	Utilization int            `json:"utilization"`
	Temperature int            `json:"temperature"`
	Healthy     bool           `json:"healthy"`
	Reason      string         `json:"reason,omitempty"`
	Since       *time.Time     `json:"since,omitempty"`
	Simulated   bool           `json:"simulated"`
	Instances   []gpu.Instance `json:"instances,omitempty"`
	Holders     []Holder       `json:"holders"`
}

// List tells how all GPUs do.
func (m *Manager) List() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Status, 0, len(m.system.GPUs))
	state := gpu.State{Samples: m.samples}
	for _, g := range m.system.GPUs {
		h, s := m.health[g.UUID], state.Sample(g.UUID)
		st := Status{
			Index: g.Index, UUID: g.UUID, Name: g.Name, Memory: g.Memory, Used: s.Used, Utilization: s.Utilization, Temperature: s.Temperature,
			Healthy: h.Reason == "", Reason: h.Reason, Simulated: m.system.Simulated, Instances: g.Instances, Holders: []Holder{},
		}
		if h.Reason != "" {
			st.Since = &h.Since
		}
		for _, x := range m.holders {
			if x.gpu == g.UUID {
				st.Holders = append(st.Holders, x)
			}
		}
		list = append(list, st)
	}
	return list
}

// ErrNotSimulated is the answer to breaking a real GPU.
var ErrNotSimulated = errors.New("the GPUs of this node are real")

// Fail lets a simulated GPU report an error.
func (m *Manager) Fail(name string, xid uint64) (gpu.GPU, error) {
	if m.cfg.Simulated == nil {
		return gpu.GPU{}, ErrNotSimulated
	}
	g, err := m.cfg.Simulated.Fail(name, xid)
	m.lookSoon()
	return g, err
}

// Recover takes a GPU as usable again: a simulated one is reset, of a real one
// a person says so (its driver may not).
func (m *Manager) Recover(ctx context.Context, name string) (gpu.GPU, error) {
	if m.cfg.Simulated != nil {
		g, err := m.cfg.Simulated.Recover(name)
		m.lookSoon()
		return g, err
	}
	g, ok := m.system.Find(name)
	if !ok {
		return g, fmt.Errorf("%w: %s", simulate.ErrNoGPU, name)
	}
	m.update(ctx, func(time.Time) { delete(m.health, g.UUID) })
	m.lookSoon()
	return g, nil
}
