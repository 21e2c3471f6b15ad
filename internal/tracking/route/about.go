package route

import (
	"iter"
	"reflect"
	"strings"
	"sync"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Kinds of objects that a field of a request can name with its tag about.
const (
	AboutExperiment     = "experiment"
	AboutExperimentName = "experiment_name"
	AboutRun            = "run"
	AboutLoggedModel    = "logged_model"
	AboutTrace          = "trace"
	AboutModel          = "registered_model" // or a prompt, by name
	AboutVersion        = "version"          // of the registered model or prompt with this name
	AboutSource         = "source"           // the address that a version is made from
	AboutPath           = "path"             // below the root of artifacts
	AboutLocation       = "location"         // the address where an experiment keeps its artifacts
	AboutWorkspace      = "workspace"
	AboutDataset        = "dataset"
	AboutIssue          = "issue"
	AboutJob            = "job"
	AboutLabel          = "label_schema"
	AboutQueue          = "review_queue"
	AboutScorer         = "scorer"
	AboutScorerName     = "scorer_name"    // within the experiment that the same request names before
	AboutAssessment     = "assessment"     // only as what is touched of a trace
	AboutNewExperiment  = "new experiment" // one that begins to exist
	AboutNewModel       = "new registered_model"
	AboutMCPServer      = "mcp_server"
	AboutMCPVersion     = "mcp_server_version" // of the MCP server with this name
	AboutNewMCPServer   = "new mcp_server"
	AboutNewMCPVersion  = "new mcp_server_version" // of the MCP server with this name, which may begin to exist with it
)

// Mention is an object that a request names.
type Mention struct {
	Kind, ID string
	// Act is read or update where the field asks for something else than its
	// route; empty is what the verb of the route says.
	Act string
	// Of is the kind of what is looked for or made in an experiment; empty is the experiment itself.
	Of string
	// Maybe allows an object that does not exist: the handler makes it, or says so.
	Maybe bool
	// zero says that the handler takes no id for that of experiment 0.
	zero bool
}

// Mentions are the objects that a request names: the values of its fields with
// a tag about, at any depth. The tag is a kind, then options behind commas:
//
//	Run    string   `ml:"run_id" about:"run"`
//	Source string   `ml:"source_run_id" about:"run,read"`
//	Traces []string `ml:"trace_ids" about:"trace,maybe"`
//	In     string   `ml:"experiment_id" about:"experiment,of run,zero"`
//	Name   string   `ml:"name" about:"- the name of a label within its experiment"`
//
// A field that is empty names nothing, unless it is in a list or has the
// option zero. "-" and a reason say that a field names no object, although it looks so. A
// struct with a tag holds the id in its field id. This is the only way in
// which a route says what it touches: who may not do that with each of the
// objects may not call it, nor one that names nothing.
func Mentions(req any) iter.Seq[Mention] {
	return func(yield func(Mention) bool) {
		v := reflect.Indirect(reflect.ValueOf(req))
		if v.Kind() == reflect.Struct {
			planOf(v.Type()).walk(v, yield)
		}
	}
}

// Declared tells whether a request type says what it is about: it has fields
// that name objects, or is [Narrowed].
func Declared(req any) bool {
	if _, ok := req.(Narrowed); ok {
		return true
	}
	t := reflect.TypeOf(req)
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && len(planOf(t.Elem()).steps) > 0
}

// Narrowed are requests for lists that show each caller what is theirs.
type Narrowed interface{ Narrow(v *model.Visible) }

// Scope makes a request [Narrowed].
type Scope struct{ Visible *model.Visible }

// Narrow implements Narrowed.
func (s *Scope) Narrow(v *model.Visible) { s.Visible = v }

// Sifted are requests for what lies in any of several experiments: those that
// the caller may not read are left out. Sift tells whether something is left to answer.
type Sifted interface {
	Sift(keep func(experiment string) bool) (answerable bool)
}

// Behind is what a judge gets of a request to a route that stands for several
// calls: the call that is meant, whose verb counts, and its request.
type Behind struct {
	Endpoint server.Endpoint
	Request  any
}

// step leads to ids in one field.
type step struct {
	field   int
	mention *Mention // nil: they are deeper
	inner   *plan
}

type plan struct{ steps []step }

var plans sync.Map // reflect.Type → *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan) //nolint:forcetypeassert // Nothing else is stored.
	}
	p := newPlan(t, map[reflect.Type]*plan{})
	plans.Store(t, p)
	return p
}

// newPlan plans a type; begun are those that it is inside of.
func newPlan(t reflect.Type, begun map[reflect.Type]*plan) *plan {
	p := &plan{}
	begun[t] = p
	defer delete(begun, t)
	for i := range t.NumField() {
		f := t.Field(i)
		if about := f.Tag.Get("about"); about != "" {
			if !strings.HasPrefix(about, "-") {
				p.steps = append(p.steps, step{field: i, mention: parseAbout(about)})
			}
			continue
		}
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct {
			continue
		}
		deeper, inside := begun[inner] // a tree: its plan becomes complete
		if !inside {
			deeper = newPlan(inner, begun)
		}
		if inside || len(deeper.steps) > 0 {
			p.steps = append(p.steps, step{field: i, inner: deeper})
		}
	}
	return p
}

func parseAbout(about string) *Mention {
	words := strings.Split(about, ",")
	m := &Mention{Kind: words[0]}
	for _, w := range words[1:] {
		if of, ok := strings.CutPrefix(w, "of "); ok {
			m.Of = of
			continue
		}
		switch w {
		case "maybe":
			m.Maybe = true
		case "zero":
			m.zero = true
		default:
			m.Act = w
		}
	}
	return m
}

func (p *plan) walk(v reflect.Value, yield func(Mention) bool) bool {
	for _, s := range p.steps {
		if !s.walk(v.Field(s.field), false, yield) {
			return false
		}
	}
	return true
}

func (s step) walk(v reflect.Value, listed bool, yield func(Mention) bool) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil() || s.walk(v.Elem(), listed, yield)
	case reflect.Slice:
		for i := range v.Len() {
			if !s.walk(v.Index(i), true, yield) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if s.inner != nil {
			return s.inner.walk(v, yield)
		}
		v = v.FieldByName("id")
	default:
	}
	m := *s.mention
	if m.ID = v.String(); m.ID == "" && !listed && !m.zero {
		return true
	}
	return yield(m)
}
