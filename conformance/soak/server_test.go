package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is `kiwerk tracking serve` on one address, however often it is killed.
type server struct {
	t            *testing.T
	dir, db, url string
	port         string
	client       *http.Client

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan error // how cmd ended
}

func newServer(t *testing.T, db string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	s := &server{
		t: t, dir: t.TempDir(), db: db, url: "http://" + addr, port: port,
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
	}
	if s.db == "" {
		s.db = "sqlite:///" + filepath.Join(s.dir, "tracking.db")
	}
	s.start()
	t.Cleanup(func() {
		if err := s.end(syscall.SIGTERM); err != nil && !strings.Contains(err.Error(), "signal: terminated") {
			t.Errorf("the server did not end well: %v\n%s", err, s.log())
		}
	})
	return s
}

// program is the built kiwerk.
func program() string {
	if dir := os.Getenv("KIWERK_BIN_DIR"); dir != "" {
		return filepath.Join(dir, "kiwerk")
	}
	return filepath.Join("..", "..", "bin", "kiwerk")
}

func (s *server) start() {
	s.t.Helper()
	bin, err := filepath.Abs(program())
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := exec.Command(bin, "tracking", "serve", "--host", "127.0.0.1", "--port", s.port,
		"--backend-store-uri", s.db, "--artifacts-destination", filepath.Join(s.dir, "artifacts"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start the server (make build makes it): %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	s.await()
}

// await waits for the first answer.
func (s *server) await() {
	s.t.Helper()
	deadline := time.After(time.Minute)
	for {
		if resp, err := s.client.Get(s.url + "/health"); err == nil {
			_ = resp.Body.Close() // nothing is read
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			s.t.Fatalf("the server has ended: %v\n%s", err, s.log())
		case <-deadline:
			s.t.Fatalf("the server does not answer\n%s", s.log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return <-s.ended
}

// kill ends the server as a crash would.
func (s *server) kill() {
	s.t.Helper()
	var exit *exec.ExitError
	if err := s.end(syscall.SIGKILL); !errors.As(err, &exit) {
		s.t.Fatalf("kill: %v", err)
	}
}

func (s *server) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "server.log"))
	return string(b[max(0, len(b)-3000):])
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	body   string
}

func (r refusal) Error() string { return fmt.Sprintf("status %d: %.300s", r.status, r.body) }

func (s *server) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url+"/api/2.0/mlflow/"+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refusal{resp.StatusCode, string(b)}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

func (s *server) createRun(ctx context.Context, tag string) (string, error) {
	var out struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err := s.call(ctx, http.MethodPost, "runs/create", map[string]any{
		"experiment_id": "0", "start_time": time.Now().UnixMilli(), "tags": []any{map[string]string{"key": "writer", "value": tag}},
	}, &out)
	return out.Run.Info.ID, err
}

type point struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int64   `json:"step"`
}

// history reads all points of a metric.
func (s *server) history(ctx context.Context, run, key string) (all []point, err error) {
	token := ""
	for {
		var page struct {
			Metrics []point `json:"metrics"`
			Next    string  `json:"next_page_token"`
		}
		q := url.Values{"run_id": {run}, "metric_key": {key}, "max_results": {strconv.Itoa(25_000)}}
		if token != "" {
			q.Set("page_token", token)
		}
		if err := s.call(ctx, http.MethodGet, "metrics/get-history?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Metrics...)
		if token = page.Next; token == "" {
			return all, nil
		}
	}
}

// params of a run.
func (s *server) params(ctx context.Context, run string) (map[string]string, error) {
	var out struct {
		Run struct {
			Data struct {
				Params []struct{ Key, Value string } `json:"params"`
			} `json:"data"`
		} `json:"run"`
	}
	err := s.call(ctx, http.MethodGet, "runs/get?run_id="+run, nil, &out)
	params := map[string]string{}
	for _, p := range out.Run.Data.Params {
		params[p.Key] = p.Value
	}
	return params, err
}
