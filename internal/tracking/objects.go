package tracking

import (
	"context"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// ExperimentOf implements access.Objects.
func (s *Service) ExperimentOf(ctx context.Context, namespace, kind, id string) (string, error) {
	var n int64
	switch kind {
	case access.OfRun:
		r, err := s.store.RunInfo(ctx, namespace, id)
		if err != nil {
			return "", err
		}
		n = r.ExperimentID
	case access.OfModel:
		m, err := s.store.LoggedModel(ctx, namespace, id, true)
		if err != nil {
			return "", err
		}
		n = m.ExperimentID
	case access.OfTrace:
		var err error
		if n, err = s.traces.ExperimentOf(ctx, namespace, id); err != nil {
			return "", err
		}
	case access.OfName:
		e, err := s.store.ExperimentByName(ctx, namespace, id)
		if err != nil {
			return "", err
		}
		n = e.ID
	default:
		return "", model.Missing("No %s with id=%s exists", kind, id)
	}
	return strconv.FormatInt(n, 10), nil
}

// IsPrompt implements access.Objects.
func (s *Service) IsPrompt(ctx context.Context, namespace, name string) (bool, error) {
	m, err := s.store.RegisteredModel(ctx, namespace, name)
	if model.IsMissing(err) {
		return false, nil
	}
	return err == nil && model.IsPrompt(m.Tags), err
}
