package access

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// check judges a request of a user who is no administrator.
type check func(c *caller, q *request) error

// caller is who asks, and where.
type caller struct {
	s         *Service
	ctx       context.Context //nolint:containedctx // It belongs to one request, as this does.
	who       subject
	workspace string
}

func (c *caller) need(a action, keys ...key) error {
	if allows(c.s.policy.decide(c.who.grants, c.workspace, keys...), a) {
		return nil
	}
	return errForbidden
}

// Govern puts the check of the object before each endpoint. Those that no rule
// knows are for administrators. Public ones stay as they are.
func (s *Service) Govern(list []server.Endpoint) []server.Endpoint {
	out := slices.Clone(list)
	for i, e := range out {
		if !e.Permission.IsPublic() {
			out[i].Handler = s.guard(e)
		}
	}
	return out
}

// guard is an endpoint behind its check, with what follows from its success.
func (s *Service) guard(e server.Endpoint) http.Handler {
	judge, withBody := s.rule(e)
	path := callOf(e)
	handler := s.after(e.Method, path, e.Handler)
	codec := e.Codec
	if codec == nil {
		codec = server.JSONCodec{}
	}
	values := pathValues(e.Pattern)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		who, err := s.subject(ctx, server.UserOf(ctx).Name)
		if err != nil {
			codec.Error(w, r, errForbidden)
			return
		}
		if who.Admin {
			handler.ServeHTTP(w, r)
			return
		}
		q, err := readRequest(r, withBody, values)
		if err != nil {
			codec.Error(w, r, err)
			return
		}
		c := &caller{s, ctx, who, server.NamespaceOf(ctx)}
		if err := judge(c, q); err != nil {
			if model.IsMissing(err) {
				err = errForbidden // who may not see a thing does not hear whether it exists
			}
			codec.Error(w, r, err)
			return
		}
		if f, ok := filters[path]; ok && (f.keep != nil || !c.readsAll(f.kinds...)) {
			s.filtered(c, q, f, e.Handler, w)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// callOf is an endpoint's path without what differs between the forms of a call.
func callOf(e server.Endpoint) string {
	p := strings.TrimPrefix(strings.TrimPrefix(e.Pattern, "/ajax-api"), "/api")
	for _, prefix := range []string{"/2.0/mlflow", "/3.0/mlflow", "/2.0mlflow"} {
		if rest, ok := strings.CutPrefix(p, prefix+"/"); ok {
			return rest
		}
	}
	return p
}

func pathValues(pattern string) (names []string) {
	for _, part := range strings.Split(pattern, "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		names = append(names, strings.TrimSuffix(name, "..."))
	}
	return names
}

// rule finds how an endpoint is judged, and whether its body is JSON that says something.
func (s *Service) rule(e server.Endpoint) (judge check, withBody bool) {
	path := callOf(e)
	if c, ok := special[e.Method+" "+path]; ok {
		return c, path != tracesPath // those are protobuf, and the header tells where they belong
	}
	act, ok := actionOf(e, path)
	if !ok {
		return forAdmins, false
	}
	switch {
	case e.MaxBody < 0 && e.Permission.Resource != route.Artifacts:
		return forAdmins, false
	case strings.Contains(path, "/mlflow-artifacts/"):
		return proxied(act), false
	case path == "upload-artifact":
		return about(act), false
	case path == "/model-versions/get-artifact":
		return registered(act, true), true
	case e.Permission.Resource == route.Registered:
		return registered(act, strings.HasPrefix(path, "model-versions/") || strings.HasSuffix(path, "/get-latest-versions")), true
	case e.Permission.Resource == route.Experiments, e.Permission.Resource == route.Artifacts, e.Permission.Resource == "traces":
		return aboutNew(act, e.Permission.Verb == "create"), true
	}
	return forAdmins, false
}

func forAdmins(*caller, *request) error { return errForbidden }

func anybody(*caller, *request) error { return nil }

// actionOf translates the verb of an endpoint's permission.
func actionOf(e server.Endpoint, path string) (action, bool) {
	if strings.HasSuffix(path, "/restore") || path == "model-versions/delete-tag" {
		return actDelete, true // as upstream has it
	}
	switch e.Permission.Verb {
	case "get", "list":
		return actRead, true
	case "create", "update":
		return actUpdate, true
	case "delete":
		return actDelete, true
	}
	return 0, false
}

// special are calls whose object is not simply named.
var special = map[string]check{
	"POST experiments/create":         createIn(kindExperiment),
	"GET experiments/get-by-name":     byName,
	"POST experiments/search":         anybody, // the answer is filtered
	"GET experiments/search":          anybody,
	"POST registered-models/create":   createIn(kindRegistered),
	"GET registered-models/search":    anybody,
	"GET model-versions/search":       anybody,
	"POST model-versions/create":      newVersion,
	"GET workspaces":                  anybody, // the answer is filtered
	"GET workspaces/{workspace_name}": seesWorkspace,
	"GET /kiwerk/v1/lineage":          forAdmins, // models, runs and data together
	"POST /graphql":                   readsEverything,
	"GET /graphql":                    readsEverything,
	"POST " + tracesPath:              traced,
}

// seesWorkspace lets those in who have any permission in a workspace.
func seesWorkspace(c *caller, q *request) error {
	if c.sees(q.PathValue("workspace_name")) {
		return nil
	}
	return errForbidden
}

func (c *caller) sees(workspace string) bool {
	return c.s.policy.open && workspace == defaultWorkspace ||
		slices.ContainsFunc(c.who.grants, func(g grant) bool { return g.workspace == workspace && g.permission != Deny })
}

const tracesPath = "/v1/traces"

// byName judges an experiment that exists; of another one the answer says that
// it does not, because clients make it then.
func byName(c *caller, q *request) error {
	err := about(actRead)(c, q)
	if model.IsMissing(err) {
		return nil
	}
	return err
}

// createIn lets members of the workspace make objects.
func createIn(kind string) check {
	return func(c *caller, _ *request) error {
		p := c.s.policy
		if fold(c.who.grants, c.workspace, key{kind, everything}) == Deny {
			return errForbidden
		}
		if !p.workspaces {
			return nil
		}
		if got := fold(c.who.grants, c.workspace, key{kindWorkspace, everything}); allows(got, actUse) && got != "" {
			return nil
		}
		if p.open && c.workspace == defaultWorkspace && allows(p.standard, actUse) {
			return nil
		}
		return errForbidden
	}
}

// readsEverything allows what names its objects in a language of its own.
func readsEverything(c *caller, _ *request) error {
	if c.readsAll(kindExperiment, kindRegistered, kindPrompt, tierRun, tierLoggedModel, tierTrace, tierVersion, tierPrompt) {
		return nil
	}
	return errForbidden
}

// readsAll tells whether nothing of some kinds is kept from the caller.
func (c *caller) readsAll(kinds ...string) bool {
	for _, k := range kinds {
		if !allows(c.s.policy.decide(nil, c.workspace, key{k, everything}), actRead) {
			return false
		}
	}
	return !slices.ContainsFunc(c.who.grants, func(g grant) bool { return g.workspace == c.workspace && g.permission == Deny })
}

// traced lets spans into the experiment that the header names.
func traced(c *caller, q *request) error {
	return c.experiments(actUpdate, q.Header.Values("X-Mlflow-Experiment-Id"))
}

// about judges by every experiment, run, logged model and trace that the
// request names. One that names none is refused.
func about(a action) check { return aboutNew(a, false) }

func aboutNew(a action, making bool) check {
	return func(c *caller, q *request) error {
		found := 0
		for _, list := range []struct {
			kind, tier string
			ids        []string
		}{
			{"", "", q.all("experiment_id", "experiment_ids")},
			{OfName, "", q.all("experiment_name")},
			{OfRun, tierRun, q.all("run_id", "run_uuid", "run_ids", "source_run_id")},
			{OfModel, tierLoggedModel, q.all("model_id", "model_ids", "source_model_id")},
			{OfTrace, tierTrace, q.all("trace_id", "trace_ids", "request_id", "request_ids")},
		} {
			found += len(list.ids)
			err := c.each(a, list.kind, list.tier, list.ids)
			if list.kind == OfTrace && making && model.IsMissing(err) && found > len(list.ids) {
				continue // it begins to exist, in an experiment that was judged
			}
			if err != nil && len(list.ids) > 0 {
				return err
			}
		}
		if found == 0 {
			return errForbidden
		}
		return nil
	}
}

func (c *caller) each(a action, kind, tier string, ids []string) error {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if kind == "" {
		return c.experiments(a, ids)
	}
	for _, id := range ids {
		experiment, err := c.s.o.Objects.ExperimentOf(c.ctx, c.workspace, kind, id)
		if err != nil {
			return err
		}
		own := key{kindExperiment, experiment}
		if tier == "" {
			err = c.need(a, own)
		} else {
			err = errors.Join(c.need(actRead, own), c.need(a, key{tier, everything}, own))
		}
		if err != nil {
			return errForbidden
		}
	}
	return nil
}

func (c *caller) experiments(a action, ids []string) error {
	if len(ids) == 0 {
		return errForbidden
	}
	return nilOr(ids, func(id string) error {
		canonical, ok := experimentKey(id)
		if !ok {
			return errForbidden
		}
		return c.need(a, key{kindExperiment, canonical})
	})
}

func nilOr(list []string, f func(string) error) error {
	for _, v := range list {
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

// registered judges by the registered model or prompt that the request names.
func registered(a action, version bool) check {
	return func(c *caller, q *request) error {
		names := q.all("name")
		if len(names) == 0 {
			return errForbidden
		}
		return nilOr(names, func(name string) error { return c.model(a, name, version) })
	}
}

func (c *caller) model(a action, name string, version bool) error {
	prompt, err := c.s.o.Objects.IsPrompt(c.ctx, c.workspace, name)
	if err != nil {
		return err
	}
	own, tier := key{kindRegistered, name}, key{tierVersion, everything}
	if prompt {
		own, tier = key{kindPrompt, name}, key{tierPrompt, everything}
	}
	if !version {
		return c.need(a, own)
	}
	if c.need(actRead, own) != nil {
		return errForbidden
	}
	return c.need(a, tier, own)
}

// newVersion needs to change the model and to read what the version is made from.
func newVersion(c *caller, q *request) error {
	if err := registered(actUpdate, true)(c, q); err != nil {
		return err
	}
	err := errors.Join(
		c.each(actRead, OfRun, tierRun, q.all("run_id")),
		c.each(actRead, OfModel, tierLoggedModel, q.all("model_id")),
		nilOr(q.all("source"), c.source),
	)
	if err != nil {
		return errForbidden
	}
	return nil
}

// source is the address that a version is made from.
func (c *caller) source(uri string) error {
	if root := strings.TrimRight(c.s.o.Root, "/"); root != "" {
		if rest, ok := strings.CutPrefix(uri, root); ok && (rest == "" || rest[0] == '/') {
			return c.proxy(actRead, rest)
		}
	}
	scheme, rest, _ := strings.Cut(uri, ":")
	rest = strings.TrimLeft(rest, "/")
	first, _, _ := strings.Cut(rest, "/")
	switch scheme {
	case "runs":
		return c.each(actRead, OfRun, tierRun, []string{first})
	case "models":
		if strings.HasPrefix(first, "m-") {
			return c.each(actRead, OfModel, tierLoggedModel, []string{first})
		}
		name, _, _ := strings.Cut(first, "@")
		return c.model(actRead, name, true)
	case "mlflow-artifacts":
		return c.proxy(actRead, rest)
	}
	return nil // the registry itself judges other addresses
}

// proxied judges by the experiment at the beginning of an artifact's path.
func proxied(a action) check {
	return func(c *caller, q *request) error {
		paths := q.all("path")
		if len(paths) == 0 || strings.HasSuffix(q.Pattern, "{path...}") && q.PathValue("path") == "" {
			return errForbidden // one in the query would not be the one that is taken
		}
		return nilOr(paths, func(p string) error { return c.proxy(a, p) })
	}
}

func (c *caller) proxy(a action, path string) error {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	id, ok := experimentKey(parts[0])
	if !ok || id != parts[0] {
		return errForbidden // a location of somebody's own
	}
	own, tier := key{kindExperiment, id}, tierRun
	switch {
	case len(parts) == 1:
		return errors.Join(c.need(a, own), c.need(a, key{tierRun, everything}, own), c.need(a, key{tierLoggedModel, everything}, own))
	case parts[1] == "models":
		tier = tierLoggedModel
	case parts[1] == "traces":
		tier = tierTrace
	}
	if c.need(actRead, own) != nil {
		return errForbidden
	}
	return c.need(a, key{tier, everything}, own)
}
