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
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const (
	maxLine   = 4 << 20
	maxEvents = 64
	// endPatience is what a killed child may take to go. One that waits within the kernel's driver may never.
	endPatience = 5 * time.Second
)

// Driver is a [gpu.Driver] of real GPUs.
type Driver struct {
	path     string
	events   chan gpu.Event
	patience time.Duration

	mu     sync.Mutex // held while a question is answered
	child  *child
	lost   *child // was killed and has not gone yet
	closed bool
}

// child is a running kiwerk-nvml.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan Message
	dead    chan struct{} // its output has ended
	gone    chan struct{} // it was killed and waited for
}

// Open makes a driver that runs the program at path.
func Open(path string) *Driver {
	return &Driver{path: path, events: make(chan gpu.Event, maxEvents), patience: endPatience}
}

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
	if d.lost == nil { // else it may still report one
		close(d.events)
	}
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
	if d.lost != nil {
		select {
		case <-d.lost.gone:
			d.lost = nil
		default:
			return fmt.Errorf("kiwerk-nvml (process %d) was killed and does not end: NVIDIA's driver hangs; the machine may need a restart", d.lost.cmd.Process.Pid)
		}
	}
	c := &child{cmd: exec.Command(d.path), answers: make(chan Message, 1), dead: make(chan struct{}), gone: make(chan struct{})}
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

// end stops the child and waits for it and its reader, but not for ever.
func (d *Driver) end() {
	c := d.child
	if c == nil {
		return
	}
	d.child = nil
	_ = c.in.Close()         // it ends with its input
	_ = c.cmd.Process.Kill() // or now
	go func() {
		defer close(c.gone)
		<-c.dead
		_ = c.cmd.Wait() // it was killed
	}()
	patience := time.NewTimer(d.patience)
	defer patience.Stop()
	select {
	case <-c.gone:
	case <-patience.C:
		d.lost = c
	}
}
