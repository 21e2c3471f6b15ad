package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Main is the command "step": arguments are "--" and the user's command. It
// returns the exit code.
func Main(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	a := &agent{environ: os.Environ(), stderr: os.Stderr}
	return a.run(context.Background(), args)
}

type agent struct {
	environ []string
	stderr  io.Writer
	spec    Spec
	store   *store
	report  Report
}

// run goes through the life of a step.
func (a *agent) run(ctx context.Context, command []string) int {
	if len(command) == 0 {
		return a.fail(errors.New("no command; usage: kiwerk-agent step -- COMMAND ARGUMENT…"))
	}
	hasSpec := slices.ContainsFunc(a.environ, func(kv string) bool { return strings.HasPrefix(kv, Env+"=") })
	spec, environ, err := DecodeSpec(a.environ)
	if hasSpec && err != nil {
		return a.fail(err)
	}
	a.spec, a.environ = spec, environ
	a.store = newStore(environ, spec.Namespace)
	a.report.Version = reportVersion
	if err := a.prepare(ctx, &command); err != nil {
		return a.fail(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "/" // it was removed; nothing can be said about its repository
	}
	environ = withRunContext(withTrackingToken(a.environ), command, dir, spec.Script)
	exit, output, err := runCommand(command, environ, spec.Result)
	if err != nil {
		return a.fail(err)
	}
	a.report.ExitCode = exit
	if spec.Result {
		text := strings.TrimSuffix(string(output), "\n")
		a.report.Result = &text
	}
	if err := a.collect(ctx, exit == 0); err != nil && exit == 0 {
		return a.fail(err)
	}
	if err := a.send(ctx); err != nil {
		if exit == 0 {
			return a.fail(err)
		}
		fmt.Fprintln(a.stderr, "kiwerk step:", err)
	}
	return exit
}

// prepare puts inputs and the script where the command expects them.
func (a *agent) prepare(ctx context.Context, command *[]string) error {
	for _, in := range a.spec.Inputs {
		if err := a.input(ctx, in); err != nil {
			return fmt.Errorf("input artifact %s: %w", in.Name, err)
		}
	}
	a.makeFolders()
	if a.spec.Script == nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "kiwerk-step-")
	if err != nil {
		return fmt.Errorf("folder of the script: %w", err)
	}
	// Another user may be asked for by the command itself (su, runuser).
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // The script is no secret inside its container.
		return fmt.Errorf("folder of the script: %w", err)
	}
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, []byte(*a.spec.Script), 0o755); err != nil { //nolint:gosec // As above, and some scripts are run directly.
		return fmt.Errorf("write the script: %w", err)
	}
	*command = append(slices.Clone(*command), file)
	return nil
}

// makeFolders makes the folders that outputs are expected in, so that commands need not.
func (a *agent) makeFolders() {
	paths := make([]string, 0, len(a.spec.Parameters)+len(a.spec.Artifacts))
	for _, p := range a.spec.Parameters {
		paths = append(paths, p.Path)
	}
	for _, out := range a.spec.Artifacts {
		paths = append(paths, out.Path)
	}
	for _, p := range paths {
		if dir := filepath.Dir(p); filepath.IsAbs(dir) {
			if err := os.MkdirAll(dir, 0o755); err != nil { // the command may know a way
				fmt.Fprintln(a.stderr, "kiwerk step: folder of an output:", err)
			}
		}
	}
}

// fail reports an error of the agent.
func (a *agent) fail(err error) int {
	fmt.Fprintln(a.stderr, "kiwerk step:", err)
	a.report = Report{Version: reportVersion, ExitCode: ExitAgent, Error: shorten(plain.Error(err).Error())}
	if a.spec.Message != "" {
		if err := writeMessage(a.spec.Message, a.report); err != nil {
			fmt.Fprintln(a.stderr, "kiwerk step:", err)
		}
	}
	return ExitAgent
}

// send leaves the report in the termination message, or there the key under
// which it lies.
func (a *agent) send(ctx context.Context) error {
	if a.spec.Message == "" {
		return nil
	}
	a.report.Message = ownMessage(a.spec.Message)
	raw, err := encode(a.report)
	if err != nil {
		return err
	}
	limit := a.spec.Limit
	if limit <= 0 {
		limit = MaxMessage
	}
	if len(raw) <= limit {
		return writeMessage(a.spec.Message, a.report)
	}
	body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	if err := a.store.put(ctx, a.spec.ReportKey, body); err != nil {
		return fmt.Errorf("store the outputs, which are larger than %d bytes: %w", limit, err)
	}
	return writeMessage(a.spec.Message, Report{Version: reportVersion, ExitCode: a.report.ExitCode, Key: a.spec.ReportKey})
}

// maxOwnMessage of what the command itself has left as its termination message.
const maxOwnMessage = 1024

func ownMessage(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxOwnMessage))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func writeMessage(path string, r Report) error {
	raw, err := encode(r)
	if err != nil {
		return err
	}
	// The file is mounted by the node: it can be written, not replaced.
	if err := os.WriteFile(path, raw, 0o644); err != nil { //nolint:gosec // The node reads it.
		return fmt.Errorf("write the termination message: %w", err)
	}
	return nil
}

func encode(r Report) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // each < would take six of 4096 bytes
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func shorten(s string) string {
	const most = 2048
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// withTrackingToken sets what MLflow's client takes only from the environment.
// The token goes to the platform alone: with another tracking server nothing is set.
func withTrackingToken(environ []string) []string {
	const name = "MLFLOW_TRACKING_TOKEN"
	get := func(key string) string { return lookup(environ, key) }
	if get(name) != "" || get("MLFLOW_TRACKING_USERNAME") != "" || get(envTokenFile) == "" || get("MLFLOW_TRACKING_URI") != get(envURL) {
		return environ
	}
	token, err := readToken(get(envTokenFile))
	if err != nil || token == "" {
		return environ
	}
	return append(slices.Clone(environ), name+"="+token)
}

func lookup(environ []string, name string) string {
	for _, kv := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}
