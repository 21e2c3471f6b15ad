package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

const (
	demoLimit  = 6 * time.Minute
	startLimit = 4 * time.Minute
	pixels     = 64 // of a photograph
)

// report holds what is asserted; the names are those that users see.
type report struct {
	AccuracyV1            float64 `json:"accuracy_v1"`
	AccuracyAfterChange   float64 `json:"accuracy_after_change"`
	AccuracyV2AfterChange float64 `json:"accuracy_v2_after_change"`
	DriftDetected         bool    `json:"drift_detected"`
	PredictionsUntilDrift int     `json:"predictions_until_drift"`
	FalseAlarms           int     `json:"false_alarms"`
	WindowsBeforeChange   int     `json:"windows_before_change"`
	Promoted              bool    `json:"promoted"`
	RequestsBeforeChange  int     `json:"requests_before_change"`
	RequestsAfterChange   int     `json:"requests_after_change"`
	RequestsTotal         int     `json:"requests_total"`
	RequestsFailed        int     `json:"requests_failed"`
	CanaryShareAsked      float64 `json:"canary_share_asked"`
	CanaryShareObserved   float64 `json:"canary_share_observed"`
	CanaryRequests        int     `json:"canary_requests"`
	ChampionScore         float64 `json:"champion_score"`
	ChallengerScore       float64 `json:"challenger_score"`
	GateRows              int     `json:"gate_rows"`
	PlatformRSSMB         float64 `json:"platform_rss_mb"`
	SecondsTotal          float64 `json:"seconds_total"`
	V1StillServing        bool    `json:"v1_still_serving"`
	DecisionReason        string  `json:"decision_reason"`
	DecisionMessage       string  `json:"decision_message"`

	Model                string `json:"model"`
	Endpoint             string `json:"endpoint"`
	RunIDV1              string `json:"run_id_v1"`
	RunIDV2              string `json:"run_id_v2"`
	ModelVersionV1       string `json:"model_version_v1"`
	ModelVersionV2       string `json:"model_version_v2"`
	DatasetTraining      string `json:"dataset_training"`
	DatasetGate          string `json:"dataset_gate"`
	DatasetRetraining    string `json:"dataset_retraining"`
	DigestTraining       string `json:"digest_training"`
	DigestGate           string `json:"digest_gate"`
	DigestRetraining     string `json:"digest_retraining"`
	WorkflowUID          string `json:"workflow_uid"`
	WorkflowName         string `json:"workflow_name"`
	RetrainWorkflowUID   string `json:"retrain_workflow_uid"`
	RetrainWorkflowName  string `json:"retrain_workflow_name"`
	AlertID              string `json:"alert_id"`
	RetrainID            string `json:"retrain_id"`
	DatasetRetrainingGat string `json:"dataset_retraining_gate"`
}

// TestDemo_sideBySide closes the loop; the platform that this leaves goes on
// while another demo, with a bad challenger, plays in another data directory.
func TestDemo_sideBySide(t *testing.T) {
	first, r := closesTheLoop(t)
	second, bad := badChallengerIsRefused(t)
	first.checkPodNetwork(r.Endpoint, r.ModelVersionV2)
	second.checkPodNetwork(bad.Endpoint, bad.ModelVersionV1)
	if first.base == second.base {
		t.Errorf("both platforms are at %s", first.base)
	}
}

func closesTheLoop(t *testing.T) (*platform, *report) {
	t.Helper()
	dataDir, r := play(t)
	atLeast := func(name string, got, want float64) {
		t.Helper()
		if got < want {
			t.Errorf("%s is %v, want at least %v", name, got, want)
		}
	}
	atLeast("accuracy_v1", r.AccuracyV1, 0.95)
	atLeast("accuracy_v2_after_change", r.AccuracyV2AfterChange, max(0.90, r.AccuracyAfterChange+0.08))
	atLeast("windows_before_change", float64(r.WindowsBeforeChange), 8)
	atLeast("requests_before_change", float64(r.RequestsBeforeChange), 600)
	atLeast("requests_after_change", float64(r.RequestsAfterChange), 600)
	atLeast("predictions_until_drift", float64(r.PredictionsUntilDrift), 1)
	atLeast("requests_total", float64(r.RequestsTotal), float64(r.RequestsBeforeChange+r.RequestsAfterChange))
	if r.AccuracyAfterChange > 0.85 {
		t.Errorf("accuracy_after_change is %v, want at most 0.85", r.AccuracyAfterChange)
	}
	if !r.DriftDetected || !r.Promoted || r.FalseAlarms != 0 || r.RequestsFailed != 0 {
		t.Errorf("drift_detected %v, promoted %v, false_alarms %d, requests_failed %d", r.DriftDetected, r.Promoted, r.FalseAlarms, r.RequestsFailed)
	}
	sigma := math.Sqrt(r.CanaryShareAsked * (1 - r.CanaryShareAsked) / float64(max(r.CanaryRequests, 1)))
	if r.CanaryShareAsked <= 0 || math.Abs(r.CanaryShareObserved-r.CanaryShareAsked) > 5*sigma { // by chance once in two million runs
		t.Errorf("canary share: asked %v, observed %v of %d requests", r.CanaryShareAsked, r.CanaryShareObserved, r.CanaryRequests)
	}
	if r.PlatformRSSMB <= 0 || r.PlatformRSSMB > 700 {
		t.Errorf("platform_rss_mb is %v, want at most 700", r.PlatformRSSMB)
	}
	if r.SecondsTotal > 180 {
		t.Errorf("seconds_total is %v, want at most 180", r.SecondsTotal)
	}
	p := start(t, dataDir)
	p.checkRun(r.RunIDV1, r.DatasetTraining, r.DigestTraining)
	p.checkRun(r.RunIDV2, r.DatasetRetraining, r.DigestRetraining)
	p.checkVersion(r.Model, r.ModelVersionV1, r.RunIDV1)
	p.checkVersion(r.Model, r.ModelVersionV2, r.RunIDV2)
	p.checkDataset(r.DatasetTraining, r.DigestTraining)
	p.checkDataset(r.DatasetGate, r.DigestGate)
	p.checkDataset(r.DatasetRetraining, r.DigestRetraining)
	p.checkWorkflow(r.WorkflowName, r.WorkflowUID)
	p.checkWorkflow(r.RetrainWorkflowName, r.RetrainWorkflowUID)
	p.checkPolicy(r, "Promoted")
	p.checkServing(r.Endpoint, "models:/"+r.Model+"/"+r.ModelVersionV2)
	return p, r
}

func badChallengerIsRefused(t *testing.T) (*platform, *report) {
	t.Helper()
	dataDir, r := play(t, "--bad-challenger")
	if r.Promoted || !r.V1StillServing || !r.DriftDetected || r.RequestsFailed != 0 {
		t.Errorf("promoted %v, v1_still_serving %v, drift_detected %v, requests_failed %d", r.Promoted, r.V1StillServing, r.DriftDetected, r.RequestsFailed)
	}
	if r.DecisionReason == "" || r.DecisionMessage == "" {
		t.Error("no reason was stored")
	}
	p := start(t, dataDir)
	p.checkPolicy(r, "Rejected", "RolledBack")
	p.checkServing(r.Endpoint, "models:/"+r.Model+"/"+r.ModelVersionV1)
	return p, r
}

// play runs the demo and reads its report.
func play(t *testing.T, flags ...string) (dataDir string, r *report) {
	t.Helper()
	dataDir = filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "report.json")
	ctx, cancel := context.WithTimeout(t.Context(), demoLimit)
	defer cancel()
	args := append([]string{"demo", "quality-inspection", "--data-dir", dataDir, "--report", file}, flags...)
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("kiwerk %s: %v", strings.Join(args, " "), err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r = new(report)
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	var flat map[string]any
	if err := json.Unmarshal(text, &flat); err != nil {
		t.Fatal(err)
	}
	for name, value := range flat {
		switch value.(type) {
		case float64, bool, string:
		default:
			t.Errorf("%s is no number, boolean or string but %v", name, value)
		}
	}
	return dataDir, r
}

func program(t *testing.T) string {
	t.Helper()
	path, err := kwtest.Program("kiwerk")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// platform is what the demo left behind, running again.
type platform struct {
	t             *testing.T
	dataDir, base string
	kube          dynamic.Interface
}

func start(t *testing.T, dataDir string) *platform {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", kwtest.FreePort(t))
	cmd := exec.Command(program(t), "up", "--data-dir", dataDir, "--listen", address)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // gone if it failed
		if err := <-ended; err != nil {
			t.Errorf("kiwerk up: %v", err)
		}
	})
	p := &platform{t: t, dataDir: dataDir, base: "http://" + address}
	p.untilHealthy(ended)
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dataDir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if p.kube, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *platform) untilHealthy(ended chan error) {
	p.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(startLimit)
	for {
		select {
		case err := <-ended:
			ended <- err
			p.t.Fatalf("kiwerk up ended: %v", err)
		case <-limit:
			p.t.Fatal("the platform did not become ready")
		case <-tick.C:
		}
		resp, err := http.Get(p.base + "/health")
		if err != nil {
			continue
		}
		_ = resp.Body.Close() // only the status counts
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
}

func (p *platform) get(path string, into any) {
	p.t.Helper()
	resp, err := http.Get(p.base + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s: %d %s", path, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		p.t.Fatalf("GET %s: %v", path, err)
	}
}

// checkRun looks whether a run has ended well and knows what it was trained on.
func (p *platform) checkRun(id, dataset, digest string) {
	p.t.Helper()
	var answer struct {
		Run struct {
			Info struct{ Status string }
			Data struct{ Tags []struct{ Key, Value string } }
		}
	}
	p.get("/api/2.0/mlflow/runs/get?run_id="+url.QueryEscape(id), &answer)
	if answer.Run.Info.Status != "FINISHED" {
		p.t.Errorf("run %s is %s", id, answer.Run.Info.Status)
	}
	tags := map[string]string{}
	for _, tag := range answer.Run.Data.Tags {
		tags[tag.Key] = tag.Value
	}
	if got := tags["kiwerk.dataset.name"] + "/" + tags["kiwerk.dataset.version"]; got != dataset {
		p.t.Errorf("run %s was trained on %s, the report says %s", id, got, dataset)
	}
	if tags["kiwerk.dataset.digest"] != digest || digest == "" {
		p.t.Errorf("run %s: digest %s, the report says %q", id, tags["kiwerk.dataset.digest"], digest)
	}
}

func (p *platform) checkVersion(model, version, run string) {
	p.t.Helper()
	var answer struct {
		ModelVersion struct {
			RunID  string `json:"run_id"`
			Status string `json:"status"`
		} `json:"model_version"`
	}
	query := url.Values{"name": {model}, "version": {version}}
	p.get("/api/2.0/mlflow/model-versions/get?"+query.Encode(), &answer)
	if answer.ModelVersion.RunID != run || answer.ModelVersion.Status != "READY" {
		p.t.Errorf("%s version %s is %s from run %q, the report says %q", model, version, answer.ModelVersion.Status, answer.ModelVersion.RunID, run)
	}
}

func (p *platform) checkDataset(reference, digest string) {
	p.t.Helper()
	name, version, _ := strings.Cut(reference, "/")
	var answer struct {
		Digest string `json:"digest"`
		Rows   int    `json:"rows"`
	}
	p.get(fmt.Sprintf("/kiwerk/v1/projects/default/datasets/%s/versions/%s", name, version), &answer)
	if answer.Digest != digest || answer.Rows == 0 {
		p.t.Errorf("%s has %d rows and digest %s, the report says %s", reference, answer.Rows, answer.Digest, digest)
	}
}

func (p *platform) object(group, version, resource, name string) *unstructured.Unstructured {
	p.t.Helper()
	gvr := schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	obj, err := p.kube.Resource(gvr).Namespace("default").Get(p.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		p.t.Fatalf("%s %q: %v", resource, name, err)
	}
	return obj
}

func field[T any](p *platform, obj *unstructured.Unstructured, path ...string) T {
	p.t.Helper()
	value, found, err := unstructured.NestedFieldNoCopy(obj.Object, path...)
	typed, ok := value.(T)
	if err != nil || !found || !ok {
		p.t.Errorf("%s %s: %s is %v (found %v, error %v)", obj.GetKind(), obj.GetName(), strings.Join(path, "."), value, found, err)
	}
	return typed
}

func (p *platform) checkWorkflow(name, uid string) {
	p.t.Helper()
	wf := p.object("argoproj.io", "v1alpha1", "workflows", name)
	if string(wf.GetUID()) != uid || uid == "" {
		p.t.Errorf("workflow %s has uid %s, the report says %q", name, wf.GetUID(), uid)
	}
	if phase := field[string](p, wf, "status", "phase"); phase != "Succeeded" {
		p.t.Errorf("workflow %s ended %s", name, phase)
	}
}

// checkPolicy compares the stored decision and its numbers with the report.
func (p *platform) checkPolicy(r *report, phases ...string) {
	p.t.Helper()
	policy := p.object("kiwerk.dev", "v1alpha1", "retrainpolicies", "quality-inspection")
	current := func(path ...string) []string { return append([]string{"status", "current"}, path...) }
	if phase := field[string](p, policy, current("phase")...); !strings.Contains(strings.Join(phases, " "), phase) {
		p.t.Errorf("the retraining ended %s, want %v", phase, phases)
	}
	for name, want := range map[string]struct{ reported, stored string }{
		"id":          {r.RetrainID, field[string](p, policy, current("id")...)},
		"alert":       {r.AlertID, field[string](p, policy, current("trigger", "alertID")...)},
		"workflowUID": {r.RetrainWorkflowUID, field[string](p, policy, current("workflowUID")...)},
		"dataset":     {r.DatasetRetraining, field[string](p, policy, current("dataset")...)},
		"digest":      {r.DigestRetraining, field[string](p, policy, current("datasetDigest")...)},
		"challenger":  {r.ModelVersionV2, field[string](p, policy, current("challenger", "version")...)},
		"reason":      {r.DecisionReason, field[string](p, policy, current("reason")...)},
	} {
		if want.reported != want.stored || want.stored == "" {
			p.t.Errorf("%s: the report says %q, the platform %q", name, want.reported, want.stored)
		}
	}
	if number(p, policy, current("score", "champion")...) != r.ChampionScore || number(p, policy, current("score", "challenger")...) != r.ChallengerScore {
		p.t.Errorf("the scores in the report, %v and %v, are not those of the platform", r.ChampionScore, r.ChallengerScore)
	}
}

// number reads a field that JSON may have made an integer.
func number(p *platform, obj *unstructured.Unstructured, path ...string) float64 {
	p.t.Helper()
	switch v := field[any](p, obj, path...).(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	default:
		p.t.Errorf("%s is %v", strings.Join(path, "."), v)
		return math.NaN()
	}
}

func (p *platform) checkServing(endpoint, uri string) {
	p.t.Helper()
	service := p.object("serving.kserve.io", "v1beta1", "inferenceservices", endpoint)
	if got := field[string](p, service, "spec", "predictor", "model", "storageUri"); got != uri {
		p.t.Errorf("endpoint %s serves %s, want %s", endpoint, got, uri)
	}
}

// checkPodNetwork looks whether the endpoint's model answers, from a pod with an address of its own.
func (p *platform) checkPodNetwork(endpoint, version string) {
	p.t.Helper()
	out, err := exec.Command(program(p.t), "--data-dir", p.dataDir, "status", "-o", "json").Output()
	var status struct {
		Network struct{ Mode, PodCIDR, Reason string }
	}
	if err := errors.Join(err, json.Unmarshal(out, &status)); err != nil {
		p.t.Fatalf("status: %v\n%s", err, out)
	}
	if status.Network.Mode != "pod" {
		p.t.Fatalf("pods have no network of their own: %s", status.Network.Reason)
	}
	pods := netip.MustParsePrefix(status.Network.PodCIDR)
	kwtest.Eventually(p.t, func() error { return p.answers(endpoint, version) })
	list, err := p.kube.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace("default").
		List(p.t.Context(), metav1.ListOptions{LabelSelector: "serving.kserve.io/inferenceservice=" + endpoint, FieldSelector: "status.phase=Running"})
	if err != nil || len(list.Items) == 0 {
		p.t.Fatalf("pods of endpoint %s: %v, %v", endpoint, list, err)
	}
	for i := range list.Items {
		ip, err := netip.ParseAddr(field[string](p, &list.Items[i], "status", "podIP"))
		if err != nil || !pods.Contains(ip) {
			p.t.Errorf("pod %s has address %v, %v; want one of %v", list.Items[i].GetName(), ip, err, pods)
		}
	}
}

// answers asks for a prediction.
func (p *platform) answers(endpoint, version string) error {
	body, err := json.Marshal(map[string]any{"instances": [][]float64{make([]float64, pixels)}})
	if err != nil {
		return err
	}
	resp, err := http.Post(p.base+"/v1/models/"+endpoint+":predict", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if got := resp.Header.Get("X-Kiwerk-Model-Version"); err == nil && (resp.StatusCode != http.StatusOK || got != version) {
		return fmt.Errorf("endpoint %s at %s: %d, version %q, want %q: %s", endpoint, p.base, resp.StatusCode, got, version, text)
	}
	return err
}
