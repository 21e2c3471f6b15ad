package tracking

import (
	"context"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// ExperimentsOf implements access.Objects.
func (s *Service) ExperimentsOf(ctx context.Context, namespace, kind, id string) ([]string, error) {
	n, err := s.experimentOf(ctx, namespace, kind, id)
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return s.genai.ExperimentsOf(ctx, namespace, kind, id)
	}
	return []string{strconv.FormatInt(n, 10)}, nil
}

// experimentOf is the one experiment of most kinds; -1 are the objects of evaluations.
func (s *Service) experimentOf(ctx context.Context, namespace, kind, id string) (int64, error) {
	switch kind {
	case route.AboutExperiment:
		e, err := s.store.Experiment(ctx, namespace, id)
		return e.ID, err
	case route.AboutExperimentName:
		e, err := s.store.ExperimentByName(ctx, namespace, id)
		return e.ID, err
	case route.AboutRun:
		r, err := s.store.RunInfo(ctx, namespace, id)
		return r.ExperimentID, err
	case route.AboutLoggedModel:
		m, err := s.store.LoggedModel(ctx, namespace, id, true)
		return m.ExperimentID, err
	case route.AboutTrace:
		return s.traces.ExperimentOf(ctx, namespace, id)
	}
	return -1, nil
}

// HasMCPServer implements access.Objects.
func (s *Service) HasMCPServer(ctx context.Context, namespace, name string) (bool, error) {
	return s.mcp.Has(ctx, namespace, name)
}

// IsPrompt implements access.Objects.
func (s *Service) IsPrompt(ctx context.Context, namespace, name string) (bool, error) {
	m, err := s.store.RegisteredModel(ctx, namespace, name)
	if model.IsMissing(err) {
		return false, nil
	}
	return err == nil && model.IsPrompt(m.Tags), err
}
