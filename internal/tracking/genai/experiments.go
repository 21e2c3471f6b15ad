package genai

import (
	"context"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// kinds are the names here of what requests can name.
var kinds = map[string]string{
	route.AboutDataset: datasetKind.name, route.AboutIssue: issueKind.name, route.AboutJob: jobKind.name,
	route.AboutLabel: labelKind.name, route.AboutQueue: queueKind.name, route.AboutScorer: scorerKind.name,
}

// ExperimentsOf are the experiments that an object belongs to; kind is one of route's.
func (s *Service) ExperimentsOf(ctx context.Context, namespace, kind, id string) ([]string, error) {
	if kind == route.AboutDataset {
		o, err := datasetKind.load(ctx, s, namespace, id)
		return o.Doc.Experiments, err
	}
	var exp int64
	err := s.db.View(ctx, func(t *db.Tx) error {
		return t.Row("SELECT exp FROM genai_objects WHERE kind = ? AND namespace = ? AND id = ?", kinds[kind], namespace, id).Scan(&exp)
	})
	if db.IsNoRows(err) {
		return nil, model.Missing("No %s with id '%s' exists.", kind, model.Cut(id, 100))
	}
	return []string{number(exp)}, err
}
