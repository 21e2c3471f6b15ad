//go:build cgo

package bridge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	protocol "github.com/kiwerk/kiwerk/internal/cluster/devices/nvml"
)

// eventWait is how long a wait for events lasts before it looks whether to end.
const eventWait = 5000 // ms

// Main serves until its input ends.
func Main(in io.Reader, out, errs io.Writer) int {
	b := &bridge{lib: nvml.New(), sys: "/sys", out: json.NewEncoder(out)}
	if err := b.serve(in); err != nil {
		fmt.Fprintln(errs, "kiwerk-nvml:", err)
		return 1
	}
	return 0
}

type bridge struct {
	lib nvml.Interface
	sys string // where sysfs lies

	mu     sync.Mutex // of out
	out    *json.Encoder
	opened bool
}

func (b *bridge) say(m protocol.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Encode(m)
}

func (b *bridge) serve(in io.Reader) error {
	s := bufio.NewScanner(in)
	for s.Scan() {
		var r protocol.Request
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			return err
		}
		m, err := b.answer(r)
		if err != nil {
			m = protocol.Message{Error: err.Error()}
		}
		if err := b.say(m); err != nil {
			return err
		}
	}
	return s.Err()
}

func (b *bridge) answer(r protocol.Request) (protocol.Message, error) {
	if err := b.open(); err != nil {
		return protocol.Message{}, err
	}
	switch r.Ask {
	case protocol.AskSystem:
		s, err := b.system()
		return protocol.Message{System: &s}, err
	case protocol.AskSamples:
		list, err := b.samples()
		return protocol.Message{Samples: list}, err
	}
	return protocol.Message{}, fmt.Errorf("unknown question %q", r.Ask)
}

// open loads the library with the first question, and listens for errors.
func (b *bridge) open() error {
	if b.opened {
		return nil
	}
	if err := check("load NVIDIA's library", b.lib.Init()); err != nil {
		return err
	}
	b.opened = true
	set, ret := b.lib.EventSetCreate()
	if ret != nvml.SUCCESS {
		return nil // a virtual GPU has no events; looking at it must do
	}
	const events = nvml.EventTypeXidCriticalError | nvml.EventTypeDoubleBitEccError
	registered := false
	_ = b.each(func(_ int, d nvml.Device) error { // as above
		registered = d.RegisterEvents(events, set) == nvml.SUCCESS || registered
		return nil
	})
	if registered {
		go b.listen(set)
	}
	return nil
}

// listen passes events on for as long as the process lives.
func (b *bridge) listen(set nvml.EventSet) {
	for {
		e, ret := set.Wait(eventWait)
		switch ret {
		case nvml.ERROR_TIMEOUT:
			continue
		case nvml.SUCCESS:
		default:
			return // the driver is gone; looking at the devices shows it
		}
		if b.say(protocol.Message{Event: eventOf(e)}) != nil {
			return
		}
	}
}

// doubleBitXID is the number of an uncorrectable memory error.
const doubleBitXID = 48

func eventOf(e nvml.EventData) *gpu.Event {
	out := &gpu.Event{GI: -1, XID: e.EventData}
	if e.EventType == nvml.EventTypeDoubleBitEccError {
		out.XID = doubleBitXID
	}
	if uuid, ret := e.Device.GetUUID(); ret == nvml.SUCCESS { // else it concerns all
		out.UUID = uuid
	}
	const none = 0xFFFFFFFF
	if e.GpuInstanceId != none {
		out.GI = int(e.GpuInstanceId)
	}
	return out
}

// each visits the GPUs.
func (b *bridge) each(visit func(int, nvml.Device) error) error {
	n, ret := b.lib.DeviceGetCount()
	if err := check("count the GPUs", ret); err != nil {
		return err
	}
	for i := range n {
		d, ret := b.lib.DeviceGetHandleByIndex(i)
		if err := check(fmt.Sprintf("GPU %d", i), ret); err != nil {
			return err
		}
		if err := visit(i, d); err != nil {
			return err
		}
	}
	return nil
}

func check(what string, ret nvml.Return) error {
	if ret == nvml.SUCCESS {
		return nil
	}
	return fmt.Errorf("%s: %w", what, ret)
}
