package data

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/store"
)

// sweepStep bounds one transaction of a sweep, so that requests do not wait behind it.
const sweepStep = 5000

// Sweep deletes what is past its retention and returns the number of predictions deleted.
func (s *Service) Sweep(ctx context.Context) (int64, error) {
	type stream struct {
		id  int64
		key endpointKey
	}
	var streams []stream
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var st stream
			if err := rows.Scan(&st.id, &st.key.namespace, &st.key.endpoint); err != nil {
				return err
			}
			streams = append(streams, st)
			return nil
		}, "SELECT id, namespace, endpoint FROM data_streams")
	})
	if err != nil {
		return 0, err
	}
	var total int64
	for _, st := range streams {
		keep := s.deps.Retention
		if r := s.RecordingOf(st.key.namespace, st.key.endpoint); r != nil && r.Retention > 0 {
			keep = r.Retention
		}
		before := s.deps.Now().Add(-keep).UnixNano()
		for n := int64(sweepStep); n == sweepStep; total += n {
			if n, err = s.sweepSome(ctx, st.id, before); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

func (s *Service) sweepSome(ctx context.Context, stream, before int64) (n int64, err error) {
	err = s.deps.Store.Update(ctx, func(t *store.Tx) error {
		n, err = t.Exec(`DELETE FROM data_predictions WHERE id IN
			(SELECT id FROM data_predictions WHERE stream = ? AND time < ? ORDER BY time LIMIT ?)`, stream, before, sweepStep)
		return err
	})
	return n, err
}
