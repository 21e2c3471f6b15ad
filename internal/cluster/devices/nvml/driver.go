package nvml

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const (
	maxLine   = 4 << 20
	maxEvents = 64
)

// Driver is a [gpu.Driver] of real GPUs.
type Driver struct {
	path   string
	events chan gpu.Event

	mu     sync.Mutex // held while a question is answered
	child  *child
	closed bool
}

// child is a running kiwerk-nvml.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan Message
	dead    chan struct{}
}

// Open makes a driver that runs the program at path.
func Open(path string) *Driver { return &Driver{path: path, events: make(chan gpu.Event, maxEvents)} }

// Events implements gpu.Driver.
func (d *Driver) Events() <-chan gpu.Event { return d.events }

// System implements gpu.Driver.
func (d *Driver) System(ctx context.Context) (gpu.System, error) {
	m, err := d.ask(ctx, AskSystem)
	if err == nil && m.System == nil {
		err = errors.New("kiwerk-nvml: an answer without a system")
	}
	if err != nil {
		return gpu.System{}, err
	}
	return *m.System, nil
}

// Samples implements gpu.Driver.
func (d *Driver) Samples(ctx context.Context) ([]gpu.Sample, error) {
	m, err := d.ask(ctx, AskSamples)
	return m.Samples, err
}

// Close implements gpu.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.end()
	close(d.events)
	return nil
}

// ask sends a question and waits for the answer. A child that does not answer
// in time is ended: its next answer would belong to this question.
func (d *Driver) ask(ctx context.Context, what string) (Message, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return Message{}, errors.New("kiwerk-nvml: closed")
	}
	if err := d.start(); err != nil {
		return Message{}, err
	}
	line, err := json.Marshal(Request{what})
	if err != nil {
		return Message{}, err
	}
	if _, err := d.child.in.Write(append(line, '\n')); err != nil {
		d.end()
		return Message{}, fmt.Errorf("kiwerk-nvml: %w", err)
	}
	select {
	case m := <-d.child.answers:
		if m.Error != "" {
			return Message{}, fmt.Errorf("NVIDIA's driver: %s", m.Error)
		}
		return m, nil
	case <-d.child.dead:
		d.end()
		return Message{}, errors.New("kiwerk-nvml ended; it is started again")
	case <-ctx.Done():
		d.end()
		return Message{}, fmt.Errorf("kiwerk-nvml: %w", ctx.Err())
	}
}

func (d *Driver) start() error {
	if d.child != nil {
		return nil
	}
	c := &child{cmd: exec.Command(d.path), answers: make(chan Message, 1), dead: make(chan struct{})}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("kiwerk-nvml: %w", err)
	}
	c.in, d.child = in, c
	go d.read(c, out)
	return nil
}

// read sorts what the child says until it ends.
func (d *Driver) read(c *child, out io.Reader) {
	defer close(c.dead)
	s := bufio.NewScanner(out)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var m Message
		if json.Unmarshal(s.Bytes(), &m) != nil {
			return // whatever it is, it is not ours
		}
		if m.Event == nil {
			select {
			case c.answers <- m:
			default: // nobody asked
			}
			continue
		}
		select {
		case d.events <- *m.Event:
		default: // too many to read; the next look at the device shows its state
		}
	}
}

// end stops the child and waits for its reader.
func (d *Driver) end() {
	if d.child == nil {
		return
	}
	_ = d.child.in.Close()         // it ends with its input
	_ = d.child.cmd.Process.Kill() // or now
	<-d.child.dead
	_ = d.child.cmd.Wait() // it was killed
	d.child = nil
}
