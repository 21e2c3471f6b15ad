package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const (
	// ambient is the temperature of an idle GPU, hottest that of a busy one.
	ambient, hottest = 31, 74
	// wave is how long a simulated load takes from its lowest to its highest and back.
	wave = 40 * time.Second
	// xidLost is "fallen off the bus": the device does not answer.
	xidLost = 79
	// maxEvents waits for a slow reader.
	maxEvents = 64
	// reservedMiB is what the driver itself needs.
	reservedMiB = 500
)

// Load is what the pods that hold a GPU do with it, in percent.
type Load struct{ Low, High int }

// Driver is a [gpu.Driver] without devices.
type Driver struct {
	system gpu.System
	file   string
	clock  clock.PassiveClock
	events chan gpu.Event

	mu     sync.Mutex
	closed bool
	faults map[string]uint64 // XID by UUID
	loads  map[string]Load
	energy map[string]float64 // J
	last   time.Time
}

// Open makes a driver for system. file keeps the faults over restarts.
func Open(system gpu.System, file string, c clock.PassiveClock) (*Driver, error) {
	d := &Driver{
		system: system, file: file, clock: c, events: make(chan gpu.Event, maxEvents),
		faults: map[string]uint64{}, loads: map[string]Load{}, energy: map[string]float64{}, last: c.Now(),
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &d.faults)
	}
	if err != nil {
		return nil, fmt.Errorf("faults of simulated GPUs in %s: %w", file, err)
	}
	for _, g := range system.GPUs { // of this system only; another one may have been simulated before
		if xid := d.faults[g.UUID]; xid != 0 {
			d.events <- gpu.Event{UUID: g.UUID, GI: -1, XID: xid}
		}
	}
	return d, nil
}

// System implements gpu.Driver.
func (d *Driver) System(context.Context) (gpu.System, error) { return d.system, nil }

// Events implements gpu.Driver.
func (d *Driver) Events() <-chan gpu.Event { return d.events }

// Close implements gpu.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		close(d.events)
	}
	return nil
}

// Load tells what the GPUs do from now on; those not named idle.
func (d *Driver) Load(loads map[string]Load) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loads = loads
}

// ErrNoGPU is the answer for a GPU that is not there.
var ErrNoGPU = errors.New("no such GPU")

// Fail makes a GPU report an error.
func (d *Driver) Fail(name string, xid uint64) (gpu.GPU, error) {
	g, ok := d.system.Find(name)
	if !ok {
		return g, fmt.Errorf("%w: %s", ErrNoGPU, name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return g, errors.New("the driver is closed")
	}
	if err := d.change(func(f map[string]uint64) { f[g.UUID] = xid }); err != nil {
		return g, err
	}
	select {
	case d.events <- gpu.Event{UUID: g.UUID, GI: -1, XID: xid}:
		return g, nil
	default:
		return g, errors.New("too many errors at once; wait a moment")
	}
}

// Recover does what a reset would.
func (d *Driver) Recover(name string) (gpu.GPU, error) {
	g, ok := d.system.Find(name)
	if !ok {
		return g, fmt.Errorf("%w: %s", ErrNoGPU, name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return g, d.change(func(f map[string]uint64) { delete(f, g.UUID) })
}

// change writes the faults before they count.
func (d *Driver) change(f func(map[string]uint64)) error {
	next := map[string]uint64{}
	for k, v := range d.faults {
		next[k] = v
	}
	f(next)
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(d.file, data, 0o600); err != nil {
		return fmt.Errorf("faults of simulated GPUs: %w", err)
	}
	d.faults = next
	return nil
}

// Samples implements gpu.Driver.
func (d *Driver) Samples(context.Context) ([]gpu.Sample, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock.Now()
	passed := max(0, now.Sub(d.last).Seconds())
	d.last = now
	list := make([]gpu.Sample, 0, len(d.system.GPUs))
	for _, g := range d.system.GPUs {
		s := sample(g, d.loads[g.UUID], d.faults[g.UUID], now)
		d.energy[g.UUID] += s.Power * passed
		s.Energy = int64(d.energy[g.UUID] * 1000)
		list = append(list, s)
	}
	return list, nil
}

// sample is what a GPU with a load does at a moment; pure.
func sample(g gpu.GPU, load Load, xid uint64, now time.Time) gpu.Sample {
	m := models[modelOf(g.Name)]
	s := gpu.Sample{UUID: g.UUID, Recovery: gpu.RecoveryNone, Lost: xid == xidLost}
	if xid != 0 {
		s.Recovery = "reset"
	}
	s.Reserved = min(reservedMiB, g.Memory)
	if s.Lost {
		return s
	}
	u := load.Low + int(float64(load.High-load.Low)*swing(g.UUID, now))
	part := float64(u) / 100
	s.Utilization, s.MemoryUtil = u, u*3/5
	if load.High > 0 { // a program that holds a GPU keeps its memory between two steps
		s.Used = (g.Memory - s.Reserved) * uint64(load.High) / 100 * 4 / 5
	}
	s.Free = g.Memory - s.Reserved - s.Used
	s.Temperature = ambient + int(part*(hottest-ambient))
	s.MemoryTemp = s.Temperature + 6
	s.Power = m.idle + part*(m.limit-m.idle)*0.95
	const idleClock = 345
	s.SMClock, s.MemoryClock = idleClock, m.memoryClock
	if u > 0 {
		s.SMClock = m.smClock
	}
	return s
}

// swing goes from 0 to 1 and back, for each GPU at its own time.
func swing(uuid string, now time.Time) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uuid)) // never fails
	at := (now.UnixNano() + int64(h.Sum32())) % int64(wave)
	up := float64(at) / float64(wave) * 2
	if up > 1 {
		return 2 - up
	}
	return up
}

func modelOf(name string) string {
	names := Models()
	i := slices.IndexFunc(names, func(n string) bool { return models[n].name == name })
	if i < 0 {
		return ""
	}
	return names[i]
}
