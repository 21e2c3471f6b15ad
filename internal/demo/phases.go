package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	qualityinspection "github.com/kiwerk/kiwerk/examples/quality-inspection"
	"github.com/kiwerk/kiwerk/internal/text"
)

// prepare gets the images, gives each its role and stores what the pipeline
// begins with.
func (d *day) prepare(ctx context.Context) (string, error) {
	images, err := loadImages(ctx, d.cfg.Python)
	if err != nil {
		return "", err
	}
	if d.roles, err = deal(images, d.cfg.Seed); err != nil {
		return "", err
	}
	d.report.LabelledImages, d.report.MeasurementImages = len(d.roles.Labelled), len(d.roles.Measurement)
	if d.cfg.BadChallenger {
		d.truth = shuffledLabels(d.roles.Labelled, d.cfg.Seed)
	}
	steps, err := qualityinspection.StepsArchive()
	if err != nil {
		return "", err
	}
	uploads := []struct {
		key, contentType string
		body             []byte
	}{
		{stepsKey, "application/gzip", steps},
		{trainingKey, "text/csv", rawCSV(d.roles.Training)},
		{gateKey, "text/csv", rawCSV(d.roles.Gate)},
	}
	for _, u := range uploads {
		if err := d.client.putArtifact(ctx, u.key, u.contentType, u.body); err != nil {
			return "", fmt.Errorf("artifact %s: %w", u.key, err)
		}
	}
	return d.count(len(images)), nil
}

// pipeline submits the workflow and waits for its end.
func (d *day) pipeline(ctx context.Context) (string, error) {
	for _, manifest := range []string{"account.yaml", "pipeline.yaml", "workflow.yaml"} {
		if err := d.objects.apply(ctx, d.manifests, manifest); err != nil {
			return "", err
		}
	}
	wf, err := d.objects.wait(ctx, workflows, workflowName, pipelineLimit, workflowEnded)
	if err != nil {
		return "", err
	}
	if phase := textAt(wf, "status", "phase"); phase != "Succeeded" {
		return "", fmt.Errorf("workflow %s ended %s: %s", workflowName, phase, failedNodes(wf))
	}
	r := &d.report
	r.WorkflowName, r.WorkflowUID = workflowName, string(wf.GetUID())
	r.RunIDV1 = outputOf(wf, "train", "run")
	r.DatasetTraining, r.DatasetGate = outputOf(wf, "ingest", "data"), outputOf(wf, "ingest", "gate")
	r.ModelVersionV1 = outputOf(wf, "register-deploy", "version")
	if r.ModelVersionV1 == "" {
		return "", errors.New("the model did not reach the accuracy that the pipeline demands and was not deployed")
	}
	if r.DigestTraining, err = d.digest(ctx, r.DatasetTraining); err != nil {
		return "", err
	}
	if r.DigestGate, err = d.digest(ctx, r.DatasetGate); err != nil {
		return "", err
	}
	return d.text.T(text.DemoPipelineDone, r.RunIDV1, r.ModelVersionV1, modelName), nil
}

func workflowEnded(wf *unstructured.Unstructured) (bool, error) {
	switch textAt(wf, "status", "phase") {
	case "Succeeded", "Failed", "Error":
		return true, nil
	default:
		return false, nil
	}
}

// outputOf is the output parameter of the step with a display name.
func outputOf(wf *unstructured.Unstructured, step, parameter string) string {
	for _, node := range nodesOf(wf) {
		if node["displayName"] != step {
			continue
		}
		list, _, _ := unstructured.NestedSlice(node, "outputs", "parameters") // no outputs then
		for _, item := range list {
			p, ok := item.(map[string]any)
			if ok && p["name"] == parameter {
				value, _ := p["value"].(string)
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}

func nodesOf(wf *unstructured.Unstructured) []map[string]any {
	nodes, _, _ := unstructured.NestedMap(wf.Object, "status", "nodes") // no nodes then
	var list []map[string]any
	for _, n := range nodes {
		if node, ok := n.(map[string]any); ok {
			list = append(list, node)
		}
	}
	return list
}

// failedNodes names the steps that failed and what they said.
func failedNodes(wf *unstructured.Unstructured) string {
	said := textAt(wf, "status", "message")
	for _, node := range nodesOf(wf) {
		if node["type"] == "Pod" && (node["phase"] == "Failed" || node["phase"] == "Error") {
			said += fmt.Sprintf("; step %v: %v", node["displayName"], node["message"])
		}
	}
	return said
}

// digest asks the platform for the digest of a data-set version NAME/VERSION.
func (d *day) digest(ctx context.Context, reference string) (string, error) {
	name, version, found := strings.Cut(reference, "/")
	if !found {
		return "", fmt.Errorf("data-set version %q is not NAME/VERSION", reference)
	}
	var meta struct {
		Digest string `json:"digest"`
	}
	err := d.client.getJSON(ctx, d.client.project("datasets/"+name+"/versions/"+version), &meta)
	return meta.Digest, err
}

// deployed waits until version 1 answers.
func (d *day) deployed(ctx context.Context) (string, error) {
	_, err := d.objects.wait(ctx, services, endpointName, readyLimit, func(obj *unstructured.Unstructured) (bool, error) {
		return isTrue(obj, "Ready"), nil
	})
	return "", err
}

// normalDay sends photographs and true labels while the camera is as it was.
func (d *day) normalDay(ctx context.Context) (string, error) {
	for w := range windowsBefore {
		from := w * windowImages % len(d.roles.Before)
		shots, err := d.line.window(ctx, d.roles.Before[from:from+windowImages])
		if err != nil {
			return "", err
		}
		d.v1 = append(d.v1, shots...)
		if err := d.line.labels(ctx, shots, trueLabel); err != nil {
			return "", err
		}
		if _, err := d.judged(ctx, w+1); err != nil {
			return "", err
		}
	}
	r := &d.report
	r.AccuracyV1, _ = accuracy(d.v1)
	state, err := d.judged(ctx, windowsBefore)
	if err != nil {
		return "", err
	}
	d.windows, r.WindowsBeforeChange, r.FalseAlarms = state.windows, state.windows, state.alarms
	before, _, _ := d.line.counts()
	return d.text.T(text.DemoBeforeDone, before, r.WindowsBeforeChange, r.FalseAlarms, d.percent(r.AccuracyV1)), nil
}

// untilDrift changes the camera and goes on until the monitor raises an alarm.
func (d *day) untilDrift(ctx context.Context) (string, error) {
	d.say(text.DemoChange)
	d.line.change(WornCamera)
	r := &d.report
	for len(d.roles.Labelled) >= windowImages {
		shots, err := d.labelledWindow(ctx)
		if err != nil {
			return "", err
		}
		r.WindowsUntilDrift++
		r.PredictionsUntilDrift += len(shots)
		state, err := d.judged(ctx, d.windows+r.WindowsUntilDrift)
		if err != nil {
			return "", err
		}
		if state.drifted {
			r.DriftDetected, r.AlertID = true, state.alert
			return d.text.T(text.DemoDriftDone, r.PredictionsUntilDrift), nil
		}
	}
	return "", fmt.Errorf("the monitor raised no alarm in %d photographs of the changed camera", r.PredictionsUntilDrift)
}

// labelledWindow photographs the next images whose labels come back; each is
// used once.
func (d *day) labelledWindow(ctx context.Context) ([]shot, error) {
	n := min(windowImages, len(d.roles.Labelled))
	shots, err := d.line.window(ctx, d.roles.Labelled[:n])
	if err != nil {
		return nil, err
	}
	d.roles.Labelled = d.roles.Labelled[n:]
	d.labelled = append(d.labelled, shots...)
	return shots, d.line.labels(ctx, shots, d.truth)
}

// measureAndLabel measures version 1 on the changed camera, then sends the
// rest of the labels that the policy waits for. The images it measures by get
// no label, so that they never become training data.
func (d *day) measureAndLabel(ctx context.Context) (string, error) {
	shots, err := d.line.window(ctx, d.roles.Measurement)
	if err != nil {
		return "", err
	}
	for _, s := range shots {
		if s.answer.version != d.report.ModelVersionV1 {
			return "", fmt.Errorf("version %s answered while version %s was to be measured", s.answer.version, d.report.ModelVersionV1)
		}
	}
	d.report.AccuracyAfterChange, _ = accuracy(shots)
	for len(d.roles.Labelled) > 0 {
		if _, err := d.labelledWindow(ctx); err != nil {
			return "", err
		}
	}
	d.report.AccuracyLabelled, _ = accuracy(d.labelled)
	return d.percent(d.report.AccuracyAfterChange), nil
}

// measureEnd measures what serves at the end of the day on the changed camera.
func (d *day) measureEnd(ctx context.Context) (string, error) {
	shots, err := d.line.window(ctx, d.roles.Measurement)
	if err != nil {
		return "", err
	}
	r := &d.report
	want := r.ModelVersionV2
	if !r.Promoted {
		want = r.ModelVersionV1
	}
	for _, s := range shots {
		if s.answer.version != want {
			return "", fmt.Errorf("version %s answered, version %s should serve now", s.answer.version, want)
		}
	}
	share, _ := accuracy(shots)
	if r.Promoted {
		r.AccuracyV2AfterChange = share
	} else {
		r.V1StillServing = true
	}
	return d.percent(share), nil
}
