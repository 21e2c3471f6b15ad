package migrate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
	wire "github.com/kiwerk/kiwerk/internal/tracking/traces"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// links are the runs and prompts of traces, by the id of the trace.
type links struct{ runs, prompts map[string][]string }

// Traces implements [Traced], after Runs and Registry: what a trace is linked to
// only searches by runs and prompts tell. Spans come with it, wherever the server keeps them.
func (s *Server) Traces(ctx context.Context, fn func(traces.Whole) error) error {
	portions, err := s.experimentIDs(ctx)
	if err != nil {
		return err
	}
	for _, ids := range portions {
		for t, err := range s.tracesOf(ctx, client.Query{Experiments: ids, OrderBy: []string{"timestamp_ms ASC"}}) {
			if client.IsUnknownRoute(err) { // MLflow before 2.14
				return nil
			}
			if err != nil {
				return err
			}
			w, err := s.trace(ctx, t)
			if err != nil {
				return fmt.Errorf("trace %s: %w", t.ID, err)
			}
			if err := fn(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// tracesOf asks by version 3 of the API, or where it is not known by version 2.
func (s *Server) tracesOf(ctx context.Context, q client.Query) iter.Seq2[client.Trace, error] {
	return func(yield func(client.Trace, error) bool) {
		for t, err := range s.c.Traces(ctx, q) {
			if client.IsUnknownRoute(err) {
				s.oldTraces = true
				s.c.OldTraces(ctx, q)(yield)
				return
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

func (s *Server) trace(ctx context.Context, t client.Trace) (w traces.Whole, err error) {
	w.Namespace = s.namespace
	if w.Info, err = wire.ParseInfo(t.Raw); err != nil {
		return w, err
	}
	if s.links == nil {
		if s.links, err = s.findLinks(ctx); err != nil {
			return w, err
		}
	}
	w.Runs, w.Prompts = slices.Clone(s.links.runs[w.ID]), slices.Clone(s.links.prompts[w.ID])
	data, err := s.c.TraceData(ctx, w.ID)
	if noData(err) {
		return w, nil
	}
	if err != nil {
		return w, err
	}
	takeSpans(&w, data)
	return w, nil
}

// noData tells that a server has not what it is asked for, or nothing that can be read.
func noData(err error) bool {
	var refused *client.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Status {
	case http.StatusNotFound, http.StatusBadRequest, http.StatusNotImplemented:
		return true
	}
	return refused.Status == http.StatusInternalServerError && refused.Code == "INVALID_STATE"
}

// findLinks asks for the traces of each run and each version of a prompt: no
// other search tells. Servers that know version 2 only have no such links.
func (s *Server) findLinks(ctx context.Context) (*links, error) {
	l := &links{map[string][]string{}, map[string][]string{}}
	if s.oldTraces {
		return l, nil
	}
	portions, err := s.experimentIDs(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(portions...)
	for n, run := range slices.Sorted(maps.Keys(s.keys)) {
		if s.Asked != nil && n%pageOfRuns == 0 {
			s.Asked(n, len(s.keys))
		}
		if err := s.eachFound(ctx, all, "run_id = "+client.QuoteFilter(run), func(t client.Trace) error {
			i, err := wire.ParseInfo(t.Raw)
			if i.Metadata[traces.MetaRun] != run { // what its metadata says is no link
				l.runs[t.ID] = append(l.runs[t.ID], run)
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	for _, prompt := range slices.Sorted(maps.Keys(s.prompts)) {
		if err := s.eachFound(ctx, all, "prompt = "+client.QuoteFilter(prompt), func(t client.Trace) error {
			l.prompts[t.ID] = append(l.prompts[t.ID], prompt)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// eachFound calls fn for the traces that a filter finds, none where the server's release does not know the filter.
func (s *Server) eachFound(ctx context.Context, experiments []string, filter string, fn func(client.Trace) error) error {
	for ids := range slices.Chunk(experiments, 500) {
		for t, err := range s.tracesOf(ctx, client.Query{Experiments: ids, Filter: filter}) {
			if noData(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := fn(t); err != nil {
				return err
			}
		}
	}
	return nil
}
