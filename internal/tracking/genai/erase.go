package genai

import (
	"context"
	"slices"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// EraseExperiment removes what belongs to a deleted experiment. Datasets, which
// can belong to many, only leave it; one that was restored keeps everything.
func (s *Service) EraseExperiment(ctx context.Context, namespace, id string) error {
	e, err := s.o.Experiments.Experiment(ctx, namespace, id)
	if model.IsMissing(err) || err == nil && !e.Deleted {
		return nil
	}
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(t *db.Tx) error {
		if _, err := t.Exec("DELETE FROM genai_objects WHERE namespace = ? AND exp = ? AND kind <> ?", namespace, e.ID, datasetKind.name); err != nil {
			return err
		}
		list, err := datasetKind.list(t, namespace)
		if err != nil {
			return err
		}
		for _, o := range list {
			i := slices.Index(o.Doc.Experiments, number(e.ID))
			if i < 0 {
				continue
			}
			o.Doc.Experiments = slices.Delete(o.Doc.Experiments, i, i+1)
			if err := datasetKind.put(t, o); err != nil {
				return err
			}
		}
		return nil
	})
}
