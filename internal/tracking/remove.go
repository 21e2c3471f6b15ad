package tracking

import (
	"context"
	"errors"
	"path"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/tracking/gc"
)

// remover removes folders of artifacts in our own store, and where elsewhere leads.
func (s *Service) remover(elsewhere func(context.Context, string) (blob.Bucket, string, error)) func(context.Context, string) error {
	return func(ctx context.Context, uri string) error {
		if p, ok := s.api.Proxied(uri); ok {
			if err := blob.CheckKey(p); err != nil {
				return errors.Join(gc.ErrElsewhere, err)
			}
			key := path.Join(s.prefix, p)
			return errors.Join(s.blobs.Delete(ctx, key), s.digests.Forget(ctx, key))
		}
		if elsewhere == nil {
			return gc.ErrElsewhere
		}
		bucket, key, err := elsewhere(ctx, uri)
		if err != nil || key == "" { // never a whole bucket
			return errors.Join(gc.ErrElsewhere, err)
		}
		return bucket.Delete(ctx, key)
	}
}
