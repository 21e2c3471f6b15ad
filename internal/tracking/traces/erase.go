package traces

import (
	"context"
	"math"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// Clear removes what is left of a workspace: traces that came in while their experiments were removed.
func (s *Service) Clear(ctx context.Context, namespace string) error {
	list, err := s.store.Experiments(ctx, namespace)
	if err != nil {
		return err
	}
	all := int64(math.MaxInt64)
	for _, experiment := range list {
		if _, err := s.store.Delete(ctx, namespace, experiment, store.Selection{Before: &all}); err != nil {
			return err
		}
	}
	return s.store.Forget(ctx, namespace, "")
}

// EraseTraces removes the traces of a run or of an experiment with their
// artifacts, and tells how many there were. Other kinds have none.
func (s *Service) EraseTraces(ctx context.Context, namespace, kind, id string) (int, error) {
	switch kind {
	case "experiment":
		all := int64(math.MaxInt64)
		return s.Delete(ctx, namespace, id, store.Selection{Before: &all})
	case "run":
		found, err := s.store.OfRun(ctx, namespace, id)
		if err != nil {
			return 0, err
		}
		removed := 0
		for experiment, ids := range found {
			n, err := s.Delete(ctx, namespace, strconv.FormatInt(experiment, 10), store.Selection{IDs: ids})
			if err != nil {
				return removed, err
			}
			removed += n
		}
		return removed, s.store.Forget(ctx, namespace, id)
	}
	return 0, nil
}
