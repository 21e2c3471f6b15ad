package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	pgtest "github.com/kiwerk/kiwerk/internal/kwtest/postgres"
)

// target is a server that can be started and stopped; its data stays.
type target struct {
	name string
	// dir is its working directory, uri its database.
	dir, uri string
	command  func(addr string) *exec.Cmd

	url     string
	cmd     *exec.Cmd
	client  *http.Client
	started time.Duration
	ended   chan error
}

// prepare lists the servers of an engine and makes their databases. end
// removes what prepare has started.
func (b *bench) prepare(ctx context.Context) (end func() error, err error) {
	end = func() error { return nil }
	database := func(string) (string, error) { return "", nil }
	if b.engine == postgres {
		pg, err := pgtest.Open(ctx, "-c", "shared_buffers=1GB", "-c", "max_wal_size=4GB", "-c", "work_mem=32MB")
		if err != nil {
			return end, err
		}
		end = func() error { pg.Close(); return nil }
		database = func(name string) (string, error) { return pg.Database(ctx, name) }
	}
	for _, name := range append([]string{kiwerk}, b.o.peers...) {
		t := &target{
			name: name, dir: filepath.Join(b.dir, name+"-"+b.engine),
			client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Minute},
		}
		if b.engine == sqlite {
			t.uri = "sqlite:///" + filepath.Join(t.dir, "tracking.db")
		} else if t.uri, err = database(name); err != nil {
			return end, err
		}
		if err := os.MkdirAll(t.dir, 0o700); err != nil {
			return end, err
		}
		if t.command, err = b.commandOf(t); err != nil {
			return end, err
		}
		b.servers = append(b.servers, t)
	}
	return end, nil
}

// commandOf tells how a server is started.
func (b *bench) commandOf(t *target) (func(addr string) *exec.Cmd, error) {
	program := map[string]string{kiwerk: b.o.bin, mlflow: b.o.python, fasttrackml: filepath.Join(b.o.fml, "bin", "fml")}[t.name]
	if program == "" {
		return nil, fmt.Errorf("unknown server %q", t.name)
	}
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w (make setup build; scripts/setup-bench.sh; start this in the root of the repository)", err)
	}
	packages, err := filepath.Abs(b.o.fml)
	if err != nil {
		return nil, err
	}
	artifacts := filepath.Join(t.dir, "artifacts")
	switch t.name {
	case kiwerk:
		return func(addr string) *exec.Cmd {
			host, port, _ := net.SplitHostPort(addr)
			return exec.Command(program, "tracking", "serve", "--host", host, "--port", port, "--backend-store-uri", t.uri, "--artifacts-destination", artifacts)
		}, nil
	case mlflow:
		return func(addr string) *exec.Cmd {
			host, port, _ := net.SplitHostPort(addr)
			c := exec.Command(program, "-m", "mlflow", "server", "--host", host, "--port", port, "--workers", strconv.Itoa(b.o.workers),
				"--backend-store-uri", strings.Replace(t.uri, "postgresql:", "postgresql+psycopg2:", 1), "--artifacts-destination", artifacts)
			c.Env = append(os.Environ(), "PYTHONPATH="+packages) // the driver of PostgreSQL
			return c
		}, nil
	}
	return func(addr string) *exec.Cmd {
		uri := strings.Replace(strings.Replace(t.uri, "postgresql://", "postgres://", 1), "sqlite:///", "sqlite://", 1)
		return exec.Command(program, "server", "--listen-address", addr, "--database-uri", uri, "--default-artifact-root", artifacts, "--log-level", "error")
	}, nil
}

// run starts the server, does something and stops it.
func (t *target) run(ctx context.Context, do func() error) (err error) {
	if err := t.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	return do()
}

func (t *target) start(ctx context.Context) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	t.url, t.cmd = "http://"+addr, t.command(addr)
	t.cmd.Dir = t.dir
	if t.cmd.Env == nil {
		t.cmd.Env = os.Environ()
	}
	t.cmd.Env = append(t.cmd.Env, "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true")
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // mlflow has children
	log, err := os.Create(filepath.Join(t.dir, "server.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the children have their own
	t.cmd.Stdout, t.cmd.Stderr = log, log
	begin := time.Now()
	if err := t.cmd.Start(); err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() { gone <- t.cmd.Wait() }()
	for limit := time.After(3 * time.Minute); ; {
		if _, err := t.get(ctx, "/health"); err == nil {
			t.started = time.Since(begin)
			t.ended = gone
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), syscall.Kill(-t.cmd.Process.Pid, syscall.SIGKILL))
		case err := <-gone:
			return fmt.Errorf("did not start: %w\n%s", err, tail(log.Name()))
		case <-limit:
			return errors.Join(fmt.Errorf("did not answer\n%s", tail(log.Name())), syscall.Kill(-t.cmd.Process.Pid, syscall.SIGKILL))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func tail(file string) []byte {
	b, _ := os.ReadFile(file)
	return b[max(0, len(b)-2000):]
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (t *target) stop() error {
	if err := syscall.Kill(-t.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-t.ended: //nolint:errcheck // It ended by our signal.
	case <-time.After(30 * time.Second):
		return syscall.Kill(-t.cmd.Process.Pid, syscall.SIGKILL)
	}
	return nil
}

// memory sums a field of smaps_rollup, e.g. Anonymous, over the process group, in MB.
func (t *target) memory(name string) (mb float64) {
	for _, dir := range t.processes() {
		rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		if err != nil {
			continue
		}
		mb += field(rollup, name)
	}
	return mb
}

// processes are the folders in /proc of the server and its children.
func (t *target) processes() (dirs []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, f := range files {
		stat, err := os.ReadFile(f)
		if err != nil {
			continue // ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 2 && fields[2] == strconv.Itoa(t.cmd.Process.Pid) {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	return dirs
}

// field finds "name: 123 kB" and gives it in MB.
func field(text []byte, name string) float64 {
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// peak is the highest resident memory of the server's first process and its children, in MB.
func (t *target) peak() (mb float64) {
	for _, dir := range t.processes() {
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			continue
		}
		mb += field(status, "VmHWM")
	}
	return mb
}

func (t *target) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+path, nil)
	if err != nil {
		return nil, err
	}
	return t.do(r)
}

// call posts to the API.
func (t *target) call(ctx context.Context, name string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+"/api/2.0/mlflow/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return t.do(r)
}

func (t *target) do(r *http.Request) ([]byte, error) {
	resp, err := t.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %.300s", r.URL.Path, resp.StatusCode, b)
	}
	return b, err
}

func (t *target) newExperiment(ctx context.Context, name string) (string, error) {
	b, err := t.call(ctx, "experiments/create", fmt.Appendf(nil, `{"name":%q}`, name))
	if err != nil {
		return "", err
	}
	var out struct {
		ID string `json:"experiment_id"`
	}
	return out.ID, json.Unmarshal(b, &out)
}

func (t *target) newRun(ctx context.Context, experiment string, start int) (string, error) {
	b, err := t.call(ctx, "runs/create", fmt.Appendf(nil, `{"experiment_id":%q,"start_time":%d}`, experiment, start))
	if err != nil {
		return "", err
	}
	var out struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	return out.Run.Info.ID, json.Unmarshal(b, &out)
}
