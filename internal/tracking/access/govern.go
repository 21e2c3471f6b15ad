package access

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// caller is who asks, and where.
type caller struct {
	policy
	governed

	who       subject
	workspace string
}

// governed is what endpoints are about.
type governed struct {
	objects   Objects
	artifacts Artifacts
}

// Artifacts says where experiments keep what the server reads with its own
// credentials, beside mlflow-artifacts:.
type Artifacts struct {
	// Root is the address above; empty is none.
	Root string
	// Whole makes an address whole as the store does; nil leaves it.
	Whole func(uri string) (string, error)
}

// below is the path below the root of an address there.
func (a Artifacts) below(uri string) (path string, ok bool) {
	if path, ok = model.Below(uri, a.Root); ok {
		return path, true
	}
	return model.Proxied(uri)
}

func (c *caller) need(a action, keys ...key) error {
	if allows(c.decide(c.who.grants, c.workspace, keys...), a) {
		return nil
	}
	return errForbidden
}

// Govern puts a judge before each endpoint: one whose request says what it is
// about may be called by those who may do what it does with every object that
// is named, all others by administrators only. Public ones stay as they are.
func (s *Service) Govern(list []server.Endpoint, objects Objects, artifacts Artifacts) []server.Endpoint {
	about := governed{objects, artifacts}
	out := make([]server.Endpoint, len(list))
	for i, e := range list {
		if !e.Permission.IsPublic() {
			e.Handler = s.guard(e, about)
		}
		out[i] = e
	}
	return out
}

func (s *Service) guard(e server.Endpoint, about governed) http.Handler {
	judged, declared := e.Handler.(server.Judged)
	declared = declared && route.Declared(e.Request)
	codec := e.Codec
	if codec == nil {
		codec = server.JSONCodec{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.asking(r)
		switch {
		case err != nil:
			codec.Error(w, r, err)
		case who.Admin:
			e.Handler.ServeHTTP(w, r)
		case !declared:
			codec.Error(w, r, errForbidden)
		default:
			c := &caller{s.policy, about, who, workspaceOf(r)}
			judged(w, r, func(ctx context.Context, req any) error {
				meant := e
				if b, ok := req.(route.Behind); ok {
					meant, req = b.Endpoint, b.Request
				}
				act, known := actionOf(meant)
				if !known {
					return errForbidden
				}
				err := c.judge(ctx, act, req)
				if model.IsMissing(err) {
					return errForbidden // who may not see a thing does not hear whether it exists
				}
				return err
			})
		}
	})
}

// others are calls that need another permission than their verb says.
var others = map[string]action{
	"POST experiments/restore":         actDelete,
	"POST runs/restore":                actDelete,
	"DELETE model-versions/delete-tag": actDelete,
	"POST label-schemas/create":        actManage,
	"PATCH label-schemas/update":       actManage,
}

// actionOf translates the verb of an endpoint's permission.
func actionOf(e server.Endpoint) (action, bool) {
	_, call, _ := strings.Cut(e.Pattern, "/mlflow/")
	if a, ok := others[e.Method+" "+call]; ok {
		return a, true
	}
	a, ok := map[string]action{"get": actRead, "list": actRead, "create": actUpdate, "update": actUpdate, "delete": actDelete}[e.Permission.Verb]
	return a, ok
}

// judge allows a request if all that it names is allowed. One that names
// nothing is refused, but for lists that show what the caller may see.
func (c *caller) judge(ctx context.Context, act action, req any) error {
	if n, ok := req.(route.Narrowed); ok {
		n.Narrow(c.visible())
		return nil
	}
	if q, ok := req.(route.Sifted); ok {
		return c.sift(ctx, act, q)
	}
	named, within := false, key{}
	judged := map[route.Mention]bool{}
	for m := range route.Mentions(req) {
		named = true
		if judged[m] {
			continue
		}
		judged[m] = true
		a := act
		switch m.Act {
		case "read":
			a = actRead
		case "update":
			a = actUpdate
		}
		err := c.mention(ctx, a, m, &within)
		if err != nil && (!m.Maybe || !model.IsMissing(err)) {
			return err
		}
	}
	if !named {
		return errForbidden
	}
	return nil
}

// sift leaves the experiments that are allowed. A request that names none is refused.
func (c *caller) sift(ctx context.Context, act action, q route.Sifted) error {
	allowed := map[string]bool{}
	for m := range route.Mentions(q) {
		if m.Kind != route.AboutExperiment {
			return errForbidden // only they can be left out
		}
		if _, judged := allowed[m.ID]; judged {
			continue
		}
		err := c.mention(ctx, act, m, &key{})
		if err != nil && !model.IsMissing(err) && !errors.Is(err, errForbidden) {
			return err
		}
		allowed[m.ID] = err == nil
	}
	if len(allowed) == 0 || !q.Sift(func(id string) bool { return allowed[id] }) {
		return errForbidden
	}
	return nil
}

// tiers are the kinds below an experiment that have grants of their own.
var tiers = map[string]string{
	route.AboutRun: tierRun, route.AboutLoggedModel: tierLoggedModel, route.AboutTrace: tierTrace,
	route.AboutQueue: tierQueue, route.AboutScorer: kindScorer, route.AboutAssessment: tierAssessment,
}

func (c *caller) mention(ctx context.Context, a action, m route.Mention, within *key) error {
	switch m.Kind {
	case route.AboutNewExperiment:
		return c.create(kindExperiment)
	case route.AboutNewModel:
		return c.create(kindRegistered)
	case route.AboutModel:
		return c.model(ctx, a, m.ID, false)
	case route.AboutVersion:
		return c.model(ctx, a, m.ID, true)
	case route.AboutSource:
		return c.source(ctx, m.ID)
	case route.AboutPath:
		return c.path(a, m.ID)
	case route.AboutLocation:
		return c.location(a, m.ID)
	case route.AboutWorkspace:
		if !c.spaces().Has(m.ID) {
			return errForbidden
		}
		return nil
	case route.AboutExperiment:
		own, err := c.experiment(ctx, m.ID)
		if err != nil {
			return err
		}
		*within = own
		return errors.Join(c.need(a, own), c.notDenied(m.Of, own))
	case route.AboutScorerName:
		return c.scorer(a, *within, m.ID)
	case route.AboutNewMCPServer, route.AboutMCPServer, route.AboutMCPVersion, route.AboutNewMCPVersion:
		return c.mcp(ctx, a, m)
	}
	return c.below(ctx, a, m)
}

// notDenied judges what a request touches within a container.
func (c *caller) notDenied(of string, container key) error {
	if of == "" {
		return nil
	}
	return c.need(actRead, key{tiers[of], everything}, container)
}

// scorer judges one by its name in an experiment that was judged.
func (c *caller) scorer(a action, experiment key, name string) error {
	if experiment.id == "" {
		return errForbidden
	}
	own := key{kindScorer, model.ScorerID(experiment.id, name)}
	return errors.Join(c.need(a, own, experiment), c.need(actRead, key{tierScorer, everything}, own, experiment))
}

// experiment finds one by its number. Workspaces but the first one call their
// default experiment 0, too, which has another number.
func (c *caller) experiment(ctx context.Context, id string) (key, error) {
	n, err := model.ParseExperimentID(id)
	if err != nil {
		return key{}, errForbidden
	}
	if n == 0 && c.workspace != defaultWorkspace {
		found, err := c.objects.ExperimentsOf(ctx, c.workspace, route.AboutExperiment, id)
		if err == nil {
			return key{kindExperiment, found[0]}, nil
		}
		if !model.IsMissing(err) {
			return key{}, err
		}
	}
	return experimentKey(n), nil
}

// below judges what belongs to experiments: all of them count.
func (c *caller) below(ctx context.Context, a action, m route.Mention) error {
	experiments, err := c.objects.ExperimentsOf(ctx, c.workspace, m.Kind, m.ID)
	if err != nil {
		return err
	}
	if len(experiments) == 0 {
		return errForbidden // nobody's, so for administrators
	}
	for _, e := range experiments {
		own := key{kindExperiment, e}
		if err := errors.Join(c.inside(a, tiers[m.Kind], own), c.notDenied(m.Of, own)); err != nil {
			return err
		}
	}
	return nil
}

// inside judges something of a tier in a container; without a tier of its own
// it is as the container.
func (c *caller) inside(a action, tier string, container key) error {
	if tier == "" {
		return c.need(a, container)
	}
	if err := c.need(actRead, container); err != nil {
		return err
	}
	return c.need(a, key{tier, everything}, container)
}

// create lets members of the workspace make objects.
func (c *caller) create(kind string) error {
	p := c.policy
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

// model judges a registered model or prompt by name, or its versions.
func (c *caller) model(ctx context.Context, a action, name string, version bool) error {
	prompt, err := c.objects.IsPrompt(ctx, c.workspace, name)
	if err != nil {
		return err
	}
	own, tier := key{kindRegistered, name}, tierVersion
	if prompt {
		own, tier = key{kindPrompt, name}, tierPrompt
	}
	if !version {
		tier = ""
	}
	return c.inside(a, tier, own)
}

// mcp judges an MCP server by name, or its versions. Who may not see versions
// may not see servers, whose answers hold parts of them.
func (c *caller) mcp(ctx context.Context, a action, m route.Mention) error {
	own, all := key{kindMCP, m.ID}, key{tierMCP, everything}
	if m.Kind != route.AboutNewMCPServer && fold(c.who.grants, c.workspace, all) == Deny {
		if err := c.need(actRead, all); err != nil { // administrators of a workspace are not restricted
			return err
		}
	}
	switch m.Kind {
	case route.AboutMCPServer:
		return c.need(a, own)
	case route.AboutMCPVersion:
		return c.inside(a, tierMCP, own)
	case route.AboutNewMCPVersion:
		there, err := c.objects.HasMCPServer(ctx, c.workspace, m.ID)
		if err != nil {
			return err
		}
		if there {
			return c.need(a, own)
		}
	}
	if fold(c.who.grants, c.workspace, own) == Deny {
		return errForbidden
	}
	return c.create(kindMCP)
}

// location is where a new experiment keeps its artifacts: not among those of
// another. Folders that are no experiment's are free.
func (c *caller) location(a action, uri string) error {
	uri, err := model.ArtifactLocation(uri)
	if err != nil {
		return err
	}
	if c.artifacts.Whole != nil {
		whole, err := c.artifacts.Whole(uri)
		if err != nil {
			return err
		}
		uri = whole
	}
	path, ok := c.artifacts.below(uri)
	if !ok {
		return nil
	}
	parts := c.folders(path)
	if n, err := model.ParseExperimentID(parts[0]); parts[0] != "" && err == nil {
		return c.need(a, experimentKey(n))
	}
	if parts[0] == spaceFolder {
		return errForbidden // of another workspace, or of all
	}
	return nil
}

// source is the address that a version is made from.
func (c *caller) source(ctx context.Context, uri string) error {
	if path, ok := c.artifacts.below(uri); ok {
		return c.path(actRead, path)
	}
	scheme, rest, _ := strings.Cut(uri, ":")
	rest = strings.TrimLeft(rest, "/")
	first, _, _ := strings.Cut(rest, "/")
	switch scheme {
	case "runs":
		return c.below(ctx, actRead, route.Mention{Kind: route.AboutRun, ID: first})
	case "models":
		if strings.HasPrefix(first, "m-") {
			return c.below(ctx, actRead, route.Mention{Kind: route.AboutLoggedModel, ID: first})
		}
		name, _, _ := strings.Cut(first, "@")
		return c.model(ctx, actRead, name, true)
	}
	return nil // the registry itself judges other addresses
}

// spaceFolder has the artifacts of workspaces where upstream made them.
const spaceFolder = "workspaces"

// folders are the parts of an artifact's path from its experiment on, which
// upstream puts below the caller's workspace.
func (c *caller) folders(path string) []string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) > 2 && parts[0] == spaceFolder && parts[1] == c.workspace {
		return parts[2:]
	}
	return parts
}

// path judges by the experiment at the beginning of an artifact's path.
func (c *caller) path(a action, path string) error {
	parts := c.folders(path)
	n, err := model.ParseExperimentID(parts[0])
	own, tier := experimentKey(n), tierRun
	if err != nil || own.id != parts[0] {
		return errForbidden // a location of somebody's own
	}
	if len(parts) == 1 {
		for _, t := range []string{"", tierRun, tierLoggedModel, tierTrace} {
			if err := c.inside(a, t, own); err != nil {
				return err
			}
		}
		return nil
	}
	switch parts[1] {
	case "models":
		tier = tierLoggedModel
	case "traces":
		tier = tierTrace
	}
	return c.inside(a, tier, own)
}
