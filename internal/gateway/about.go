package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/text/plain"
	"github.com/kiwerk/kiwerk/internal/wire"
)

// status answers with the fields of TensorFlow Serving and of KServe. While no
// pod is ready the gateway answers itself.
func (g *Gateway) status(w http.ResponseWriter, r *http.Request, t target) {
	e := g.table.get(t.key)
	if e == nil || e.hasReady(t.version) || t.version != "" {
		g.ask(w, r, t)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(wire.AppendStatus(nil, wire.Status{Name: t.name, Message: cmp.Or(e.why, "no pod is ready")})) // the client has gone
}

// ready does not wait for a pod: whoever asks wants to know now.
func (g *Gateway) ready(w http.ResponseWriter, r *http.Request, t target) {
	e := g.table.get(t.key)
	if e == nil || e.hasReady(t.version) {
		g.ask(w, r, t)
		return
	}
	server.WriteJSON(w, http.StatusServiceUnavailable, map[string]any{"name": t.name, "ready": false})
}

func pathKey(r *http.Request) key { return key{r.PathValue("namespace"), r.PathValue("name")} }

// known answers 404 for an endpoint that is not there.
func (g *Gateway) known(w http.ResponseWriter, r *http.Request) (*endpoint, bool) {
	k := pathKey(r)
	e := g.table.get(k)
	if e == nil {
		codec{}.Error(w, r, server.NotFound("there is no InferenceService %s in project %s", k.name, k.namespace))
	}
	return e, e != nil
}

func (g *Gateway) alive(w http.ResponseWriter, r *http.Request) {
	if _, ok := g.known(w, r); ok {
		server.WriteJSON(w, http.StatusOK, map[string]any{"status": "alive"})
	}
}

func (*Gateway) live(w http.ResponseWriter, _ *http.Request) {
	server.WriteJSON(w, http.StatusOK, map[string]any{"live": true})
}

func (*Gateway) serverReady(w http.ResponseWriter, _ *http.Request) {
	server.WriteJSON(w, http.StatusOK, map[string]any{"ready": true})
}

func (g *Gateway) endpointReady(w http.ResponseWriter, r *http.Request) {
	e, ok := g.known(w, r)
	if !ok {
		return
	}
	status := http.StatusOK
	if !e.hasReady("") {
		status = http.StatusServiceUnavailable
	}
	server.WriteJSON(w, status, map[string]any{"ready": e.hasReady("")})
}

func (*Gateway) serverMetadata(w http.ResponseWriter, _ *http.Request) {
	server.WriteJSON(w, http.StatusOK, map[string]any{"name": "kiwerk", "version": "2", "extensions": []string{"binary_tensor_data"}})
}

func (g *Gateway) models(w http.ResponseWriter, r *http.Request) {
	list := g.table.names(server.NamespaceOf(r.Context()))
	slices.Sort(list)
	server.WriteJSON(w, http.StatusOK, map[string]any{"models": append([]string{}, list...)})
}

func (g *Gateway) endpointModels(w http.ResponseWriter, r *http.Request) {
	if e, ok := g.known(w, r); ok {
		server.WriteJSON(w, http.StatusOK, map[string]any{"models": []string{e.name}})
	}
}

const maxLabels = 10000

// feedback takes one label or a list of them.
func (g *Gateway) feedback(w http.ResponseWriter, r *http.Request, t target) {
	n, err := g.takeFeedback(r, t)
	if err != nil {
		codec{}.Error(w, r, err)
		return
	}
	server.WriteJSON(w, http.StatusOK, map[string]int{"stored": n})
}

func (g *Gateway) takeFeedback(r *http.Request, t target) (int, error) {
	if g.table.get(t.key) == nil {
		return 0, server.NotFound("there is no InferenceService %s in project %s", t.name, t.namespace)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	labels, err := parseFeedback(body)
	if err != nil {
		return 0, server.Invalid("feedback: %w", err)
	}
	if err := g.queue.flush(r.Context()); err != nil {
		return 0, fmt.Errorf("predictions before this label: %w", err)
	}
	return len(labels), g.deps.Feedback.Feedback(r.Context(), t.namespace, t.name, labels)
}

// parseFeedback reads {"id","label"} or {"feedback":[{"id","label"}, …]}.
func parseFeedback(body []byte) ([]data.Feedback, error) {
	var in struct {
		ID       string          `json:"id"`
		Label    json.RawMessage `json:"label"`
		Feedback []data.Feedback `json:"feedback"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf(`the body is neither {"id","label"} nor {"feedback":[…]}: %w`, plain.Error(err))
	}
	single := in.ID != "" || in.Label != nil
	switch {
	case single && in.Feedback != nil:
		return nil, errors.New(`give either "id" and "label" or "feedback"`)
	case single:
		in.Feedback = []data.Feedback{{ID: in.ID, Label: in.Label}}
	case len(in.Feedback) == 0:
		return nil, errors.New(`"id" and "label" are required, or a list of them in "feedback"`)
	case len(in.Feedback) > maxLabels:
		return nil, fmt.Errorf("%d labels at a time, the most is %d", len(in.Feedback), maxLabels)
	}
	seen := make(map[string]bool, len(in.Feedback))
	for i, f := range in.Feedback {
		at := "label " + strconv.Itoa(i)
		switch {
		case f.ID == "":
			return nil, errors.New(at + ` has no "id"`)
		case len(f.Label) == 0 || string(f.Label) == "null":
			return nil, errors.New(at + ` has no "label"`)
		case seen[f.ID]:
			return nil, fmt.Errorf("%s repeats the id %q", at, f.ID)
		}
		seen[f.ID] = true
	}
	return in.Feedback, nil
}
