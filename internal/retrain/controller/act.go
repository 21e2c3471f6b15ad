package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/retrain"
	"github.com/kiwerk/kiwerk/internal/retrain/controller/resources"
	"github.com/kiwerk/kiwerk/internal/server"
)

// challengerSuffix names the endpoint on which the challenger is compared.
const challengerSuffix = "-challenger"

// act carries a plan out: the action first, then the record of the decision,
// then the status. What is repeated after a crash in between finds what the
// first attempt has made.
func (r *reconciler) act(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, plan plan, patcher *kube.Patcher) error {
	status := plan.status
	if plan.removeChallenger {
		u := newObject(inferenceService, p.Namespace, spec.EndpointRef.Name+challengerSuffix)
		if err := client.IgnoreNotFound(r.client.Delete(ctx, u)); err != nil {
			return fmt.Errorf("remove the challenger's endpoint: %w", err)
		}
	}
	decided, err := r.perform(ctx, p, spec, plan, &status)
	if err != nil {
		return err
	}
	decided = decided || plan.decided
	if decided {
		if err := r.record(ctx, p, spec, status.Current); err != nil {
			return err
		}
		patcher.Event(eventOf(status.Current))
	}
	p.Status = status
	return nil
}

// perform carries out the action of a plan; decided tells that it led to a decision of its own.
func (r *reconciler) perform(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, plan plan, status *v1alpha1.RetrainPolicyStatus) (decided bool, err error) {
	switch plan.action {
	case nothing:
		return false, nil
	case freeze:
		return true, r.freeze(ctx, p, spec, status)
	case submit:
		return false, r.submit(ctx, p, spec, status.Current)
	case serveChallenger:
		return false, r.serveChallenger(ctx, p, spec, status.Current)
	case score:
		return true, r.score(ctx, p, spec, status.Current)
	case shift:
		return false, r.shift(ctx, p.Namespace, spec.EndpointRef.Name, plan)
	case crown:
		return false, r.crown(ctx, p, spec, plan, status.Current)
	case discard:
		return false, r.mark(ctx, p.Namespace, status.Current, plan.verdict)
	}
	return false, fmt.Errorf("retrain: action %d is not known", plan.action)
}

// freeze makes data-set versions and begins the training.
func (r *reconciler) freeze(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, status *v1alpha1.RetrainPolicyStatus) error {
	previous, err := r.previous(ctx, p, spec)
	if err != nil {
		return err
	}
	c := status.Current
	f, err := r.Data.Freeze(ctx, data.FreezeRequest{
		Namespace: p.Namespace, Endpoint: spec.EndpointRef.Name, From: c.SamplesFrom.Time, To: c.SamplesTo.Time,
		Holdout: spec.Gate.Fraction, Dataset: spec.Dataset.Name, GateDataset: spec.Dataset.GateName, Label: spec.Dataset.LabelColumn,
		Previous: previous, IncludePrevious: spec.Include == v1alpha1.IncludePrevious,
	})
	if err != nil {
		return fmt.Errorf("freeze the samples: %w", err)
	}
	c.Samples, c.TrainingRows, c.PreviousRows, c.GateRows = f.Samples, f.TrainingRows, f.PreviousRows, f.GateRows
	c.Dataset, c.DatasetDigest = f.Training.Name+"/"+strconv.Itoa(f.Training.Version), f.Training.Digest
	d := &decider{spec: spec, now: r.Clock.Now(), current: c}
	if f.Gate == nil || f.GateRows < spec.Gate.MinRows {
		d.end(v1alpha1.PhaseFailed, v1alpha1.ReasonGateTooSmall, fmt.Sprintf("%d distinct new rows could be held back, %d are needed", f.GateRows, spec.Gate.MinRows))
		return nil
	}
	c.Gate, c.GateDigest = f.Gate.Name+"/"+strconv.Itoa(f.Gate.Version), f.Gate.Digest
	d.enter(v1alpha1.PhaseTraining, v1alpha1.ReasonWorkflowRunning, fmt.Sprintf("trains on %s (%d rows), %d rows are held back", c.Dataset, f.TrainingRows+f.PreviousRows, f.GateRows))
	return nil
}

// previous is the version that the champion was trained on: what a retraining
// made, else the newest that was uploaded; 0 if there is none.
func (r *reconciler) previous(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec) (int, error) {
	if v := p.Status.ChampionDataset; v != 0 {
		return v, nil
	}
	v, err := r.Datasets.LatestOf(ctx, p.Namespace, spec.Dataset.Name, data.OriginUpload)
	var e *server.Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the former data set: %w", err)
	}
	return v.Version, nil
}

// submit creates the workflow; its name is the retraining's, so there is only ever one.
func (r *reconciler) submit(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, c *v1alpha1.RetrainingStatus) error {
	key := ""
	if spec.Template.DatasetArtifact != "" {
		var err error
		if key, err = r.putDataset(ctx, p.Namespace, c); err != nil {
			return err
		}
	}
	return r.create(ctx, p, workflowKind, c.Workflow, resources.MakeWorkflow(spec, c.Dataset, key), c)
}

func (r *reconciler) putDataset(ctx context.Context, namespace string, c *v1alpha1.RetrainingStatus) (string, error) {
	name, version, _ := strings.Cut(c.Dataset, "/")
	v, err := r.Datasets.Version(ctx, namespace, name, version)
	if err != nil {
		return "", fmt.Errorf("data set %s: %w", c.Dataset, err)
	}
	body, err := r.Datasets.Open(ctx, v)
	if err != nil {
		return "", fmt.Errorf("data set %s: %w", c.Dataset, err)
	}
	defer body.Close()
	key := "retrain/" + c.ID + "/" + v.Digest + "." + v.Format
	if err := r.Artifacts.Put(ctx, namespace, key, body); err != nil {
		return "", fmt.Errorf("store data set %s as artifact: %w", c.Dataset, err)
	}
	return key, nil
}

func (r *reconciler) serveChallenger(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, c *v1alpha1.RetrainingStatus) error {
	u := newObject(inferenceService, p.Namespace, spec.EndpointRef.Name)
	if err := r.client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
		return fmt.Errorf("read the endpoint: %w", err)
	}
	predictor, _, err := unstructured.NestedMap(u.Object, "spec", "predictor")
	if err != nil {
		return fmt.Errorf("read the endpoint: %w", err)
	}
	return r.create(ctx, p, inferenceService, spec.EndpointRef.Name+challengerSuffix, resources.MakeChallenger(predictor, challengerURI(c)), c)
}

// create makes a child that the policy owns; one that exists is fine.
func (r *reconciler) create(ctx context.Context, p *v1alpha1.RetrainPolicy, kind schema.GroupVersionKind, name string, spec map[string]any, c *v1alpha1.RetrainingStatus) error {
	u := newObject(kind, p.Namespace, name)
	u.SetLabels(map[string]string{v1alpha1.LabelPolicy: p.Name, v1alpha1.LabelRetraining: c.ID})
	u.Object["spec"] = spec
	if err := controllerutil.SetControllerReference(p, u, r.client.Scheme()); err != nil {
		return err
	}
	if err := r.client.Create(ctx, u, client.FieldOwner(kube.FieldOwner)); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %s %s: %w", kind.Kind, name, err)
	}
	return nil
}

// score asks both models about the gate part.
func (r *reconciler) score(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, c *v1alpha1.RetrainingStatus) error {
	name, version, _ := strings.Cut(c.Gate, "/")
	v, err := r.Datasets.Version(ctx, p.Namespace, name, version)
	if err != nil {
		return fmt.Errorf("gate %s: %w", c.Gate, err)
	}
	frame, err := r.Datasets.Frame(ctx, v, spec.Dataset.LabelColumn)
	if err != nil {
		return fmt.Errorf("gate %s: %w", c.Gate, err)
	}
	rows := make([][]float64, frame.Rows())
	for i := range rows {
		rows[i] = frame.Row(i)
	}
	champion, err := r.Predictor.Predict(ctx, p.Namespace, spec.EndpointRef.Name, rows)
	if err != nil {
		return fmt.Errorf("ask the champion: %w", err)
	}
	challenger, err := r.Predictor.Predict(ctx, p.Namespace, spec.EndpointRef.Name+challengerSuffix, rows)
	if err != nil {
		return fmt.Errorf("ask the challenger: %w", err)
	}
	result, err := retrain.Compare(champion, challenger, frame.Labels)
	if err != nil {
		return fmt.Errorf("compare on %s: %w", c.Gate, err)
	}
	c.Score = &result
	c.Reason, c.Message = v1alpha1.ReasonBetter, fmt.Sprintf("champion %.3f, challenger %.3f on %d rows", result.Champion, result.Challenger, result.Rows)
	if result.Challenger <= result.Champion {
		c.Reason = v1alpha1.ReasonNotBetter
	}
	return nil
}

// shift patches the two fields of the endpoint that a roll-out changes.
func (r *reconciler) shift(ctx context.Context, namespace, name string, p plan) error {
	predictor := map[string]any{"model": map[string]any{"storageUri": p.uri}, "canaryTrafficPercent": nil}
	if p.percent != nil {
		predictor["canaryTrafficPercent"] = *p.percent
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"predictor": predictor}})
	if err != nil {
		return err
	}
	u := newObject(inferenceService, namespace, name)
	if err := r.client.Patch(ctx, u, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(kube.FieldOwner)); err != nil {
		return fmt.Errorf("shift requests of %s: %w", name, err)
	}
	return nil
}

// crown moves the name of the champion.
func (r *reconciler) crown(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, plan plan, c *v1alpha1.RetrainingStatus) error {
	alias := aliasOf(c.ChampionURI)
	if alias == "" {
		alias = retrain.AliasChampion
	}
	if err := r.Registry.SetAlias(ctx, p.Namespace, c.Challenger.Name, alias, c.Challenger.Version); err != nil {
		return fmt.Errorf("move alias %s: %w", alias, err)
	}
	if err := r.mark(ctx, p.Namespace, c, retrain.VerdictPromoted); err != nil {
		return err
	}
	return r.shift(ctx, p.Namespace, spec.EndpointRef.Name, plan)
}

// mark tells the registry what became of the challenger.
func (r *reconciler) mark(ctx context.Context, namespace string, c *v1alpha1.RetrainingStatus, verdict string) error {
	for _, tag := range [][2]string{
		{retrain.TagVerdict, verdict}, {retrain.TagReason, c.Reason + ": " + c.Message}, {retrain.TagRetraining, c.ID},
	} {
		if err := r.Registry.SetVersionTag(ctx, namespace, c.Challenger.Name, c.Challenger.Version, tag[0], tag[1]); err != nil {
			return fmt.Errorf("mark version %s: %w", c.Challenger.Version, err)
		}
	}
	return nil
}

// record stores the decision with all numbers of the retraining.
func (r *reconciler) record(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, c *v1alpha1.RetrainingStatus) error {
	numbers, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return r.Decisions.Add(ctx, retrain.Decision{
		Retraining: c.ID, Step: fmt.Sprintf("%s/%d/%s", c.Phase, c.CanaryStep, c.Reason), Namespace: p.Namespace, Policy: p.Name,
		Endpoint: spec.EndpointRef.Name, Time: r.Clock.Now(), Phase: string(c.Phase), Reason: c.Reason, Message: c.Message, Numbers: numbers,
	})
}

func eventOf(c *v1alpha1.RetrainingStatus) kube.Event {
	typ := corev1.EventTypeNormal
	switch c.Phase {
	case v1alpha1.PhaseFailed, v1alpha1.PhaseRolledBack, v1alpha1.PhaseRollingBack:
		typ = corev1.EventTypeWarning
	default:
	}
	return kube.Event{Type: typ, Reason: c.Reason, Action: string(c.Phase), Message: c.ID + ": " + c.Message}
}

// versionNumber of NAME/VERSION.
func versionNumber(dataset string) int {
	_, version, _ := strings.Cut(dataset, "/")
	n, err := strconv.Atoi(version)
	if err != nil {
		return 0
	}
	return n
}
