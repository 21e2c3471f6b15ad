package genai

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// scorer is what rates answers: its versions, which clients run.
type scorer struct {
	Name     string          `json:"name"`
	Versions []scorerVersion `json:"versions"`
	Online   *online         `json:"online,omitempty"`
}

type scorerVersion struct {
	Version int64  `json:"version"`
	Text    string `json:"text"`
	Created int64  `json:"created"`
}

// online says how often a scorer is to be applied to new traces.
type online struct {
	ID     string  `json:"id"`
	Rate   float64 `json:"rate"`
	Filter string  `json:"filter,omitempty"`
}

var scorerKind = kind[scorer]{"scorer", "Scorer"}

type registerScorer struct {
	Experiment string `ml:"experiment_id,required" about:"experiment,of scorer"`
	Name       string `ml:"name,required" about:"scorer_name,read"`
	Text       string `ml:"serialized_scorer,required"`
}

type listScorers struct {
	Experiment  string   `ml:"experiment_id" about:"experiment,of scorer"`
	Experiments []string `ml:"experiment_ids" about:"experiment,of scorer"`
}

type scorerRef struct {
	Experiment string `ml:"experiment_id,required" about:"experiment,read,of scorer"`
	Name       string `ml:"name,required" about:"scorer_name"`
	Version    *int64 `ml:"version"`
}

type onlineRef struct {
	IDs []string `ml:"scorer_ids,required" about:"scorer,maybe"`
}

type putOnline struct {
	Experiment string   `ml:"experiment_id,required" about:"experiment,of scorer"`
	Name       string   `ml:"name,required" about:"scorer_name"`
	Rate       *float64 `ml:"sample_rate,required"`
	Filter     string   `ml:"filter_string"`
}

// scorerJSON is one version of a scorer.
type scorerJSON struct {
	of object[scorer]
	v  scorerVersion
}

// AppendJSON implements mlwire.Appender.
func (s scorerJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Int("experiment_id", s.of.Exp)
	w.Str("scorer_name", s.of.Doc.Name)
	w.Int("scorer_version", s.v.Version)
	w.Str("serialized_scorer", s.v.Text)
	w.Int("creation_time", s.v.Created)
	w.Str("scorer_id", s.of.ID)
	w.End()
}

// registeredJSON answers a registration, in which the fields have other names.
type registeredJSON scorerJSON

// AppendJSON implements mlwire.Appender.
func (s registeredJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Int("version", s.v.Version)
	w.Str("scorer_id", s.of.ID)
	w.Str("experiment_id", number(s.of.Exp))
	w.Str("name", s.of.Doc.Name)
	w.Str("serialized_scorer", s.v.Text)
	w.Int("creation_time", s.v.Created)
	w.End()
}

type onlineJSON object[scorer]

// AppendJSON implements mlwire.Appender.
func (o onlineJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("online_scoring_config_id", o.Doc.Online.ID)
	w.Str("scorer_id", o.ID)
	w.Float("sample_rate", o.Doc.Online.Rate)
	w.Str("experiment_id", number(o.Exp))
	w.OptStr("filter_string", o.Doc.Online.Filter)
	w.End()
}

type onlinesJSON []onlineJSON

// AppendJSON implements mlwire.Appender.
func (l onlinesJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Name("configs")
	w.BeginList()
	for _, o := range l {
		w.Elem()
		o.AppendJSON(w)
	}
	w.EndList()
	w.End()
}

func (s *Service) scorers() []server.Endpoint {
	many := func(list []scorerJSON, err error) (*route.Many[scorerJSON], error) {
		return route.ManyOf("scorers", list, "", err, func(v scorerJSON) scorerJSON { return v })
	}
	return route.Flat(
		call(s, "POST", "/scorers/register", write, "add a version of a scorer", s.registerScorer),
		call(s, "GET", "/scorers/list", read, "newest versions of the scorers of experiments", func(ctx context.Context, q *listScorers) (*route.Many[scorerJSON], error) {
			return many(s.listScorers(ctx, q))
		}),
		call(s, "GET", "/scorers/versions", read, "all versions of a scorer", func(ctx context.Context, q *scorerRef) (*route.Many[scorerJSON], error) {
			o, err := s.scorer(ctx, q.Experiment, q.Name)
			if err != nil {
				return nil, err
			}
			return many(route.Convert(o.Doc.Versions, func(v scorerVersion) scorerJSON { return scorerJSON{o, v} }), nil)
		}),
		call(s, "GET", "/scorers/get", read, "one version of a scorer", func(ctx context.Context, q *scorerRef) (*route.One[scorerJSON], error) {
			o, err := s.scorer(ctx, q.Experiment, q.Name)
			if err != nil {
				return nil, err
			}
			v, err := pick(o, q)
			return route.OneOf("scorer", scorerJSON{o, v}, err)
		}),
		call(s, "DELETE", "/scorers/delete", erase, "delete a scorer or one version of it", s.deleteScorer),
		call(s, "GET", "/scorers/online-configs", read, "how scorers are to be applied to new traces", s.onlineConfigs),
		call(s, "PUT", "/scorers/online-config", write, "say how a scorer is to be applied to new traces", s.putOnline),
	)
}

// runsCode finds scorers that are Python source, which a server must never
// hand on: whoever loads them runs them.
func runsCode(v any) bool {
	switch t := v.(type) {
	case map[string]any:
		for k, e := range t {
			if k == "call_source" && e != nil || runsCode(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(t, runsCode)
	}
	return false
}

func checkScorer(q *registerScorer) error {
	if strings.TrimSpace(q.Name) == "" {
		return model.Invalid("Scorer name cannot be empty or contain only whitespace.")
	}
	if len(q.Name) > 256 {
		return model.Invalid("The name of the scorer is %d bytes long, the limit is 256.", len(q.Name))
	}
	var content map[string]any
	if err := mlwire.ReadValue([]byte(q.Text), &content); err != nil {
		return model.Invalid("serialized_scorer must be valid JSON: %s", err)
	}
	if runsCode(content) {
		return model.Invalid("Custom scorer registration (using @scorer decorator) is not supported: whoever loads such a scorer runs the code in it. Keep the code in a repository and import it.")
	}
	if judge, ok := content["instructions_judge_pydantic_data"].(map[string]any); ok {
		if name, _ := judge["model"].(string); strings.HasPrefix(name, "gateway:/") {
			return model.Invalid("The scorer uses the model '%s' of the AI gateway, which is not served. Name the provider's model, for example openai:/gpt-4o.", model.Cut(name, 100))
		}
	}
	return nil
}

func (s *Service) registerScorer(ctx context.Context, q *registerScorer) (*registeredJSON, error) {
	if err := checkScorer(q); err != nil {
		return nil, err
	}
	exp, err := s.active(ctx, q.Experiment)
	if err != nil {
		return nil, err
	}
	out := &registeredJSON{}
	err = s.db.Update(ctx, func(t *db.Tx) error {
		now := s.now()
		o, err := scorerKind.find(t, server.NamespaceOf(ctx), exp, q.Name)
		if err != nil {
			return err
		}
		if o == nil {
			o = &object[scorer]{ID: s.uuid(), Namespace: server.NamespaceOf(ctx), Exp: exp, Key: q.Name, Created: now, Doc: scorer{Name: q.Name}}
		}
		v := scorerVersion{Version: 1, Text: q.Text, Created: now}
		if n := len(o.Doc.Versions); n > 0 {
			v.Version = o.Doc.Versions[n-1].Version + 1
		}
		o.Doc.Versions = append(o.Doc.Versions, v)
		*out = registeredJSON{*o, v}
		if err := scorerKind.put(t, *o); err != nil || v.Version > 1 {
			return err
		}
		return s.owners(func(by Owners) error { return by.Made(ctx, t, ownedScorer(*o)) })
	})
	s.settled(err)
	return out, err
}

// uuid writes an id as MLflow writes those of scorers.
func (s *Service) uuid() string {
	id := s.o.NewID()
	if len(id) != 32 {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

func noScorer(name string, version *int64, experiment string) error {
	which := ""
	if version != nil {
		which = fmt.Sprintf(" and version %d", *version)
	}
	return model.Missing("Scorer with name '%s'%s not found for experiment %s.", model.Cut(name, 100), which, experiment)
}

func (s *Service) scorer(ctx context.Context, experiment, name string) (out object[scorer], err error) {
	exp, err := s.active(ctx, experiment)
	if err != nil {
		return out, err
	}
	err = s.db.View(ctx, func(t *db.Tx) error {
		o, err := scorerKind.find(t, server.NamespaceOf(ctx), exp, name)
		if err == nil && (o == nil || len(o.Doc.Versions) == 0) {
			err = noScorer(name, nil, experiment)
		}
		if err == nil {
			out = *o
		}
		return err
	})
	return out, err
}

// pick finds the version that was asked for, or the newest.
func pick(o object[scorer], q *scorerRef) (v scorerVersion, err error) {
	if q.Version == nil {
		return o.Doc.Versions[len(o.Doc.Versions)-1], nil
	}
	for _, v := range o.Doc.Versions {
		if v.Version == *q.Version {
			return v, nil
		}
	}
	return v, noScorer(q.Name, q.Version, q.Experiment)
}

func (s *Service) listScorers(ctx context.Context, q *listScorers) (out []scorerJSON, err error) {
	if q.Experiment != "" && len(q.Experiments) > 0 {
		return nil, model.Invalid("Cannot specify both 'experiment_id' and 'experiment_ids'.")
	}
	all := q.Experiment == "" && q.Experiments == nil
	var wanted []int64
	if q.Experiment != "" {
		id, err := s.active(ctx, q.Experiment)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, id)
	}
	for _, text := range q.Experiments {
		if _, err := model.ParseExperimentID(text); err != nil {
			return nil, err
		}
		switch id, err := s.active(ctx, text); {
		case err == nil:
			wanted = append(wanted, id)
		case server.AsError(err).Status >= 500:
			return nil, err
		}
	}
	if len(wanted) == 0 && !all {
		return nil, nil
	}
	var list []object[scorer]
	err = s.db.View(ctx, func(t *db.Tx) error {
		list, err = scorerKind.list(t, server.NamespaceOf(ctx), wanted...)
		return err
	})
	slices.SortFunc(list, func(a, b object[scorer]) int { return cmp.Or(cmp.Compare(a.Exp, b.Exp), cmp.Compare(a.Key, b.Key)) })
	for _, o := range list {
		if n := len(o.Doc.Versions); n > 0 {
			out = append(out, scorerJSON{o, o.Doc.Versions[n-1]})
		}
	}
	return out, err
}

func (s *Service) deleteScorer(ctx context.Context, q *scorerRef) (*route.Empty, error) {
	found, err := s.scorer(ctx, q.Experiment, q.Name)
	if err != nil {
		return nil, err
	}
	if q.Version == nil {
		err := s.db.Update(ctx, func(t *db.Tx) error {
			if err := remove(t, found.ID); err != nil {
				return err
			}
			return s.owners(func(by Owners) error { return by.Gone(ctx, t, ownedScorer(found)) })
		})
		s.settled(err)
		return route.Done(err)
	}
	_, err = scorerKind.change(ctx, s, server.NamespaceOf(ctx), found.ID, func(_ *db.Tx, o *object[scorer]) error {
		i := slices.IndexFunc(o.Doc.Versions, func(v scorerVersion) bool { return v.Version == *q.Version })
		if i < 0 {
			return noScorer(q.Name, q.Version, q.Experiment)
		}
		o.Doc.Versions = slices.Delete(o.Doc.Versions, i, i+1)
		return nil
	})
	return route.Done(err)
}

func (s *Service) onlineConfigs(ctx context.Context, q *onlineRef) (*onlinesJSON, error) {
	out := &onlinesJSON{}
	err := s.db.View(ctx, func(t *db.Tx) error {
		*out = nil
		for _, id := range q.IDs {
			o, err := scorerKind.get(t, server.NamespaceOf(ctx), id)
			if model.IsMissing(err) {
				continue
			}
			if err != nil {
				return err
			}
			if o.Doc.Online != nil {
				*out = append(*out, onlineJSON(o))
			}
		}
		return nil
	})
	return out, err
}

func (s *Service) putOnline(ctx context.Context, q *putOnline) (*route.One[onlineJSON], error) {
	if rate := *q.Rate; math.IsNaN(rate) || rate < 0 || rate > 1 {
		return nil, model.Invalid("sample_rate must be between 0.0 and 1.0, got %v", rate)
	}
	found, err := s.scorer(ctx, q.Experiment, q.Name)
	if err != nil {
		return nil, err
	}
	o, err := scorerKind.change(ctx, s, server.NamespaceOf(ctx), found.ID, func(_ *db.Tx, o *object[scorer]) error {
		o.Doc.Online = &online{ID: s.o.NewID(), Rate: *q.Rate, Filter: q.Filter}
		return nil
	})
	return route.OneOf("config", onlineJSON(o), err)
}
