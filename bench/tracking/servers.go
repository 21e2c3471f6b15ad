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
)

// target is a running server.
type target struct {
	name, url, dir string
	cmd            *exec.Cmd
	client         *http.Client
	started        time.Duration
	experiment     string
}

// startAll starts ours first; the second is the peer.
func startAll(ctx context.Context, o options, dir string) (list []*target, err error) {
	bin := filepath.Join(dir, "serve")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./conformance/mlflow/serve")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the server (start this in the root of the repository): %w\n%s", err, out)
	}
	ours, err := start(ctx, "kiwerk", dir, func(addr, data string) *exec.Cmd {
		return exec.Command(bin, "--data-dir", data, "--listen", addr)
	})
	if err != nil {
		return nil, err
	}
	list = append(list, ours)
	if o.python == "" {
		return list, nil
	}
	python, err := filepath.Abs(o.python)
	if err != nil {
		return list, err
	}
	peer, err := start(ctx, "mlflow", dir, func(addr, data string) *exec.Cmd {
		host, port, _ := net.SplitHostPort(addr)
		return exec.Command(python, "-m", "mlflow", "server", "--host", host, "--port", port, "--workers", strconv.Itoa(o.workers),
			"--backend-store-uri", "sqlite:///"+filepath.Join(data, "mlflow.db"), "--artifacts-destination", filepath.Join(data, "artifacts"))
	})
	if err != nil {
		return list, err
	}
	return append(list, peer), nil
}

func start(ctx context.Context, name, dir string, command func(addr, data string) *exec.Cmd) (*target, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, name)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	t := &target{name: name, url: "http://" + addr, dir: data, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 2 * time.Minute,
	}}
	t.cmd = command(addr, data)
	t.cmd.Dir = data
	t.cmd.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true")
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // mlflow has children
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the children have their own
	t.cmd.Stdout, t.cmd.Stderr = log, log
	begin := time.Now()
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	for limit := time.After(2 * time.Minute); ; {
		if _, err := t.get(ctx, "/health"); err == nil {
			t.started = time.Since(begin)
			return t, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), t.stop())
		case <-limit:
			b, _ := os.ReadFile(log.Name())
			return nil, errors.Join(fmt.Errorf("%s did not start:\n%s", name, b), t.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (t *target) stop() error {
	if err := syscall.Kill(-t.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		return err
	}
	_ = t.cmd.Wait() // ended by our signal
	return nil
}

// memory is the resident memory of the process group in MB.
func (t *target) memory() (mb int) {
	out, err := exec.Command("ps", "-e", "-o", "pgid=,rss=").Output()
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == strconv.Itoa(t.cmd.Process.Pid) {
			kb, _ := strconv.Atoi(f[1])
			mb += kb / 1024
		}
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

func (t *target) newExperiment(ctx context.Context) (string, error) {
	b, err := t.call(ctx, "experiments/create", fmt.Appendf(nil, `{"name":"bench-%d"}`, time.Now().UnixNano()))
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

// fill makes an experiment to search in: runs with 5 metrics, 5 params, 3 tags.
func (t *target) fill(ctx context.Context, runs int) (err error) {
	if t.experiment, err = t.newExperiment(ctx); err != nil {
		return err
	}
	for i := range runs {
		run, err := t.newRun(ctx, t.experiment, 1000+i)
		if err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, `{"run_id":%q,"metrics":[`, run)
		for m := range 5 {
			fmt.Fprintf(&b, `%s{"key":"m%d","value":%g,"timestamp":1,"step":0}`, comma(m), m, float64((i*7919+m)%1000)/1000)
		}
		b.WriteString(`],"params":[`)
		for p := range 5 {
			fmt.Fprintf(&b, `%s{"key":"p%d","value":"%d"}`, comma(p), p, (i+p)%10)
		}
		b.WriteString(`],"tags":[`)
		for g := range 3 {
			fmt.Fprintf(&b, `%s{"key":"t%d","value":"value %d"}`, comma(g), g, i%5)
		}
		b.WriteString(`]}`)
		if _, err := t.call(ctx, "runs/log-batch", []byte(b.String())); err != nil {
			return err
		}
	}
	return nil
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}
