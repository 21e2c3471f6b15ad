package modelserver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/modelserver/ort"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Library is the ONNX Runtime that this program was made for.
const Library = "libonnxruntime.so.1.24.4"

// config is what flags and environment say.
type config struct {
	name, version, uri, listen, library string
	threads, concurrency                int
	maxBody, maxModel                   int64
	roots                               []string
	allowPrivate, check                 bool
	drain, grace, timeout               time.Duration
	platform, tokenFile, namespace      string
	termination                         string
}

func parse(args []string, getenv func(string) string, out io.Writer) (*config, error) {
	c := &config{platform: getenv("KIWERK_URL"), tokenFile: getenv("KIWERK_TOKEN_FILE"), namespace: getenv("KIWERK_NAMESPACE")}
	listen := defaultListen(getenv)
	f := flag.NewFlagSet("kiwerk-modelserver", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&c.name, "model-name", "model", "name by which clients address the model")
	f.StringVar(&c.version, "model-version", "1", "version of the model, as answers state it")
	f.StringVar(&c.uri, "model-uri", "", "where the model is: mlflow-artifacts:/…, http(s)://…, file://…")
	f.StringVar(&c.listen, "listen", listen, "address to listen on; the default takes the port from PORT, and in a pod with an address of its own all addresses")
	f.StringVar(&c.library, "onnxruntime", getenv("KIWERK_ONNXRUNTIME"), "the ONNX Runtime library (KIWERK_ONNXRUNTIME); default: lib/ beside the program, then the user's cache")
	f.IntVar(&c.threads, "threads", 1, "threads that work on one inference together")
	f.IntVar(&c.concurrency, "concurrency", 0, "inferences at a time; 0 is one per processor")
	f.Int64Var(&c.maxBody, "max-body-bytes", 64<<20, "largest request")
	f.Int64Var(&c.maxModel, "max-model-bytes", 4<<30, "largest model, all files together")
	f.Func("file-root", "folder below which file:// may read and links may lead; may be given again; default: everything that this process sees", func(v string) error {
		c.roots = append(c.roots, filepath.Clean(v))
		return nil
	})
	f.BoolVar(&c.allowPrivate, "allow-private-addresses", false, "let http(s) addresses lead into private networks")
	f.BoolVar(&c.check, "check", false, "ask the server on this address whether it is ready, and exit 0 if so")
	f.DurationVar(&c.drain, "drain", 500*time.Millisecond, "how long requests are still taken after SIGTERM")
	f.DurationVar(&c.grace, "grace", 25*time.Second, "how long requests under way may still take after that")
	f.DurationVar(&c.timeout, "request-timeout", time.Minute, "how long one request may take")
	f.StringVar(&c.termination, "termination-log", "/dev/termination-log", "where Kubernetes wants to read why the program ended")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if c.uri == "" && !c.check {
		return nil, errors.New("--model-uri is required")
	}
	if len(c.roots) == 0 {
		c.roots = []string{"/"}
	}
	if c.namespace == "" {
		c.namespace = podNamespace()
	}
	return c, nil
}

// podNamespace is the project that a pod belongs to, empty outside of one.
func podNamespace() string {
	b, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Main runs the program until ctx ends and returns its exit code.
func Main(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	c, err := parse(args, getenv, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "kiwerk-modelserver:", err)
		return 2
	}
	if c.check {
		if err := c.checkReady(ctx); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil)).With("model", c.name, "version", c.version)
	if err := c.serve(ctx, log); err != nil {
		log.Error("the model server ends", "error", err)
		c.tell(err)
		return 1
	}
	return 0
}

// tell leaves the reason where the kubelet reads it, if there is such a place.
func (c *config) tell(err error) {
	f, openErr := os.OpenFile(c.termination, os.O_WRONLY|os.O_TRUNC, 0)
	if openErr != nil {
		return
	}
	defer func() { _ = f.Close() }()               // the log has the text too
	_, _ = f.WriteString(plain.Error(err).Error()) // the log has it too
}

const checkTimeout = 5 * time.Second

// defaultListen is loopback unless this is a pod that others reach at its own address.
func defaultListen(getenv func(string) string) string {
	if port := getenv("PORT"); port != "" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	if getenv("KUBERNETES_SERVICE_HOST") != "" {
		return ":8080"
	}
	return "127.0.0.1:8080"
}

// checkReady is the probe: an exec probe needs no port that others can reach.
func (c *config) checkReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	address := c.listen
	if strings.HasPrefix(address, ":") {
		address = "127.0.0.1" + address
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v2/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}

// library finds ONNX Runtime.
func (c *config) findLibrary() (string, error) {
	if c.library != "" {
		return c.library, nil
	}
	var tried []string
	if self, err := os.Executable(); err == nil {
		// Beside it in a container of the process runtime, in lib where it was built or installed.
		tried = append(tried, filepath.Join(filepath.Dir(self), "lib", Library), filepath.Join(filepath.Dir(self), Library))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		version := strings.TrimPrefix(Library, "libonnxruntime.so.")
		tried = append(tried, filepath.Join(cache, "kiwerk", "onnxruntime", version, Library))
	}
	for _, path := range tried {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("ONNX Runtime was not found at %s; run make setup-onnxruntime or name it with --onnxruntime", strings.Join(tried, " or "))
}

// serve listens at once, so that probes get an answer, loads the model and drains when ctx ends.
func (c *config) serve(ctx context.Context, log *slog.Logger) error {
	s := NewServer(ServerOptions{Name: c.name, Version: c.version, MaxBody: c.maxBody, Concurrency: c.concurrency, Timeout: c.timeout, Logger: log})
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return err
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	session, err := c.load(ctx, log)
	if err != nil {
		return errors.Join(err, h.Close())
	}
	s.SetModel(session)
	log.Info("ready", "listen", listener.Addr().String())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	return c.stop(s, h, served, log)
}

// stop lets those who do not know yet that this server goes be answered still.
func (c *config) stop(s *Server, h *http.Server, served <-chan error, log *slog.Logger) error {
	log.Info("draining")
	s.Drain()
	drained := time.NewTimer(c.drain)
	defer drained.Stop()
	select {
	case <-drained.C:
	case err := <-served:
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.grace)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		return fmt.Errorf("requests were still under way after %s: %w", c.grace, err)
	}
	return nil
}

func (c *config) load(ctx context.Context, log *slog.Logger) (*ort.Session, error) {
	library, err := c.findLibrary()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kiwerk-model-")
	if err != nil {
		return nil, err
	}
	// The library maps what it needs; the copy is of no use afterwards.
	defer func() { _ = os.RemoveAll(dir) }()
	f := &Fetcher{
		Platform: c.platform, TokenFile: c.tokenFile, Namespace: c.namespace,
		Roots: c.roots, AllowPrivate: c.allowPrivate, MaxBytes: c.maxModel,
	}
	file, err := f.Fetch(ctx, c.uri, dir)
	if err != nil {
		return nil, err
	}
	log.Info("fetched", "uri", redact(c.uri))
	runtime, err := ort.Open(library)
	if err != nil {
		return nil, err
	}
	session, err := runtime.Load(file, ort.Options{Threads: c.threads})
	if err != nil {
		return nil, fmt.Errorf("model %s was not accepted by ONNX Runtime: %w", redact(c.uri), err)
	}
	return session, nil
}
