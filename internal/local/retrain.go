//go:build linux

package local

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// maxAnswer bounds what a command reads from the platform.
const maxAnswer = 32 << 20

// listRetrainings asks the platform for the stored decisions.
func listRetrainings(ctx context.Context, s cli.Session, namespace string) (*cli.Retrainings, error) {
	out := &cli.Retrainings{}
	return out, ask(ctx, s, "/kiwerk/v1/projects/"+url.PathEscape(namespace)+"/retrainings", out)
}

// ask reads JSON from the running platform of the data directory, as its owner.
func ask(ctx context.Context, s cli.Session, path string, v any) error {
	return call(ctx, s, http.MethodGet, path, nil, v)
}

// callPlatform is call for commands: what the platform refuses is said in its words.
func callPlatform(ctx context.Context, s cli.Session, method, path string, body, answer any) error {
	err := call(ctx, s, method, path, body, answer)
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	f := &cli.Failure{What: text.S(text.Verbatim, r.message()), Code: map[int]int{
		http.StatusBadRequest: cli.ExitUsage, http.StatusNotFound: cli.ExitNotFound,
		http.StatusUnauthorized: cli.ExitNotAllowed, http.StatusForbidden: cli.ExitNotAllowed,
	}[r.code]}
	return f
}

// refusal is an answer of the platform that is no success.
type refusal struct {
	call, status, body string
	code               int
}

// Error quotes the answer.
func (r *refusal) Error() string { return fmt.Sprintf("%s: %s: %.300s", r.call, r.status, r.body) }

// message is what the platform has to say, in any of its envelopes.
func (r *refusal) message() string {
	var ours struct {
		Message string
		Error   struct{ Message string }
	}
	if json.Unmarshal([]byte(r.body), &ours) != nil {
		return r.Error()
	}
	return cmp.Or(ours.Message, ours.Error.Message, r.Error())
}

// call asks the running platform of the data directory, as its owner.
func call(ctx context.Context, s cli.Session, method, path string, body, v any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	run, err := readRun(s.DataDir)
	if err != nil {
		return notRunning(s)
	}
	token, err := os.ReadFile(filepath.Join(s.DataDir, tokenFile))
	if err != nil {
		return err
	}
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, run.URL+path, content)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	c, err := run.client()
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return errors.Join(notRunning(s), err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return &refusal{method + " " + path, resp.Status, string(answer), resp.StatusCode}
	}
	return json.Unmarshal(answer, v)
}

func notRunning(s cli.Session) error {
	return &cli.Failure{Code: cli.ExitNotReady, What: text.S(text.NotRunning, s.DataDir), Try: try("kiwerk up --data-dir " + s.DataDir)}
}

// approveRetraining writes the person's decision onto the policy; the controller acts on it.
func approveRetraining(ctx context.Context, s cli.Session, namespace, name string, approve bool, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.DataDir, kubeconfigFile))
	if err != nil {
		return notRunning(s)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	var policy v1alpha1.RetrainPolicy
	err = c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &policy)
	if apierrors.IsNotFound(err) {
		return &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.RetrainNoPolicy, name, namespace), Try: try("kiwerk kubectl get retrainpolicies -A")}
	}
	if err != nil {
		return err
	}
	current := policy.Status.Current
	if current == nil || current.Phase != v1alpha1.PhaseAwaitingApproval || current.Challenger == nil {
		phase := "-"
		if current != nil {
			phase = string(current.Phase)
		}
		return failure(text.S(text.RetrainNoneWaits, name, phase), try("kiwerk retrain list -n "+namespace), nil)
	}
	annotations := map[string]string{v1alpha1.AnnotationApprove: current.Challenger.Version}
	if !approve {
		annotations = map[string]string{v1alpha1.AnnotationReject: current.Challenger.Version, v1alpha1.AnnotationRejectReason: reason}
	}
	before := policy.DeepCopy()
	if policy.Annotations == nil {
		policy.Annotations = map[string]string{}
	}
	for k, v := range annotations {
		policy.Annotations[k] = v
	}
	return c.Patch(ctx, &policy, client.MergeFrom(before))
}
