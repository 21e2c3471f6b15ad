//go:build linux

package systemtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// trainingSteps is how many metrics the step logs; it lasts until after the restart.
const trainingSteps = 300

// training logs a metric per step with the stock client, whose own patience
// must outlast a restart, and prints which were acknowledged.
const training = `
import time, mlflow
client = mlflow.MlflowClient()
run = client.create_run("0").info.run_id
print("run", run, flush=True)
for step in range(%d):
    client.log_metric(run, "loss", step, step=step)
    print("ack", step, flush=True)
    time.sleep(0.05)
`

// withPython is a new data directory whose configuration names the project's Python environment.
func withPython(t *testing.T, who account) string {
	t.Helper()
	root, err := kwtest.Root()
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(root, ".venv")
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("the stock client is needed; run make setup: %v", err)
	}
	dir := filepath.Join(home(t, who), "data")
	config := filepath.Join(dir, "config.yaml")
	err = errors.Join(
		os.Mkdir(dir, 0o700), os.WriteFile(config, []byte("runtime:\n  python: "+python+"\n"), 0o600),
		os.Chown(config, int(who.uid), int(who.gid)), os.Chown(dir, int(who.uid), int(who.gid)),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func indent(script string) string {
	return strings.ReplaceAll(strings.TrimSpace(script), "\n", "\n        ")
}

func workflow() string {
	return `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: crash}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: prepare, template: prepare}
    - - {name: train, template: train}
  - name: prepare
    container: {image: busybox, command: [sh, -c, "echo prepared"]}
  - name: train
    script:
      image: python
      command: [python]
      source: |
        ` + indent(fmt.Sprintf(training, trainingSteps)) + "\n"
}

// steps are the pods of the workflow with what must not change.
func (p *platform) steps() string {
	return p.kubectl("get", "pods", "--sort-by=.metadata.creationTimestamp", "-o",
		`jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount} {.status.containerStatuses[*].containerID}{"\n"}{end}`)
}

// TestKill_workflowGoesOn kills the platform in the middle of a training step.
func TestKill_workflowGoesOn(t *testing.T) {
	t.Parallel()
	victims := map[string]func(runState) int{
		"Launcher": func(r runState) int { return r.Launcher },
		"Daemon":   func(r runState) int { return r.Daemon },
	}
	eachAccount(t, func(t *testing.T, who account) {
		for name, pid := range victims {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				killInTraining(t, who, pid)
			})
		}
	})
}

func killInTraining(t *testing.T, who account, pid func(runState) int) {
	dir := withPython(t, who)
	p := up(t, who, dir)
	p.apply(workflow())
	train := p.podOf("train")
	run := strings.TrimPrefix(p.logLine(train, func(s string) bool { return strings.HasPrefix(s, "run ") }), "run ")
	p.logLine(train, func(s string) bool { return s == "ack 20" })
	before := p.steps()
	if err := unix.Kill(pid(p.run), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.wait()

	again := up(t, who, dir)
	again.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "workflow/crash", patience)
	if after := again.steps(); after != before {
		t.Errorf("the pods are not those of before the kill:\nbefore\n%s\nafter\n%s", before, after)
	}
	log := again.kubectl("logs", train)
	if !strings.Contains(log, fmt.Sprintf("ack %d", trainingSteps-1)) {
		t.Errorf("the step did not finish:\n%s", log)
	}
	again.hasAllMetrics(run)
}

// podOf waits for the pod of a step.
func (p *platform) podOf(step string) string {
	p.t.Helper()
	name := strings.TrimPrefix(p.stream(func(s string) bool { return strings.HasPrefix(s, "pod/crash-"+step+"-") }, "get", "pods", "--watch", "-o", "name"), "pod/")
	p.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/"+name, patience)
	return name
}

// hasAllMetrics reads the history: everything that was acknowledged must be there, once.
func (p *platform) hasAllMetrics(run string) {
	p.t.Helper()
	status, body := p.request(http.MethodGet, "/api/2.0/mlflow/metrics/get-history?metric_key=loss&max_results=25000&run_id="+run, bearer(p.token()))
	var history struct{ Metrics []struct{ Step json.Number } }
	if err := json.Unmarshal([]byte(body), &history); status != http.StatusOK || err != nil {
		p.t.Fatalf("history: %d %v %.300s", status, err, body)
	}
	seen := map[string]bool{}
	for _, m := range history.Metrics {
		seen[m.Step.String()] = true
	}
	for step := range trainingSteps {
		if !seen[fmt.Sprint(step)] {
			p.t.Errorf("the metric of step %d was acknowledged and is missing", step)
		}
	}
}
